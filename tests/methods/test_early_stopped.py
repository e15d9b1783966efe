import numpy as np
import pytest
from keras import ops

from kdutils.autodiff import gradients
from kdutils.methods.distiller import hard_loss
from kdutils.methods.early_stopped import EarlyStoppedDistillation
from kdutils.methods.kd import KnowledgeDistillation

RANDOM = np.random.default_rng(4)
TEACHER, STUDENT = RANDOM.normal(size=(2, 6, 10)).astype("float32") * 3
LABELS = RANDOM.integers(0, 10, 6)


def gradient(method):
    def loss(student):
        terms = method.terms(LABELS, {"logits": TEACHER}, {"logits": student})
        return sum(weight * ops.mean(each) for weight, each in terms.values())

    return gradients(loss, STUDENT)[0]


@pytest.mark.parametrize(("epoch", "stopped"), [(0, False), (2, False), (3, True), (11, True)])
def test_the_gradient_is_that_of_distillation_before_the_stop_and_of_labels_after(epoch, stopped):
    method = EarlyStoppedDistillation(4.0, 0.9, stop_epoch=3)
    method.begin_epoch(epoch)
    found = gradient(method)
    labels_alone = gradients(lambda student: ops.mean(hard_loss(LABELS, student)), STUDENT)[0]
    expected = labels_alone if stopped else gradient(KnowledgeDistillation(4.0, 0.9))
    np.testing.assert_array_equal(found, expected)
    assert np.abs(labels_alone - gradient(KnowledgeDistillation(4.0, 0.9))).max() > 0.01


def test_the_switch_is_not_trained():
    method = EarlyStoppedDistillation(4.0, 0.5, 1)
    assert method.trainable_weights == []
    assert len(method.non_trainable_weights) == 1


@pytest.mark.parametrize("stop_epoch", [-1, 1.5])
def test_impossible_stop_epochs_are_refused(stop_epoch):
    with pytest.raises(ValueError, match="stop_epoch has to be a whole number from 0 on"):
        EarlyStoppedDistillation(4.0, 0.5, stop_epoch)
