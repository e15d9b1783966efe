import keras
import numpy as np
import pytest

from kdutils.autodiff import gradients
from kdutils.methods.label_smoothing import LabelSmoothing, label_smoothing_loss

RANDOM = np.random.default_rng(2)
LOGITS = RANDOM.normal(size=(6, 10)) * 3
LABELS = RANDOM.integers(0, 10, 6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5, 1.0])
def test_loss_is_that_of_keras_with_smoothed_one_hot_labels(smoothing):
    expected = keras.losses.categorical_crossentropy(
        np.eye(10)[LABELS], LOGITS, from_logits=True, label_smoothing=smoothing
    )
    np.testing.assert_allclose(label_smoothing_loss(LABELS, LOGITS, smoothing), expected, rtol=1e-6)


def test_gradient_pulls_towards_the_smoothed_labels():
    (found,) = gradients(lambda logits: label_smoothing_loss(LABELS, logits, 0.2), LOGITS)
    q = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    target = 0.8 * np.eye(10)[LABELS] + 0.02
    np.testing.assert_allclose(found, q - target, atol=1e-6)


def test_it_needs_no_teacher_and_has_one_term():
    method = LabelSmoothing(0.1)
    assert method.teacher_taps == ()
    ((name, (weight, loss)),) = method.terms(LABELS, {}, {"logits": LOGITS}).items()
    assert (name, weight) == ("smoothed", 1.0)
    np.testing.assert_array_equal(loss, label_smoothing_loss(LABELS, LOGITS, 0.1))


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, float("nan")])
def test_impossible_smoothing_is_refused(smoothing):
    with pytest.raises(ValueError, match="smoothing has to lie between 0 and 1"):
        LabelSmoothing(smoothing)
