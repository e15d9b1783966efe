import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from kdutils.autodiff import gradients
from kdutils.methods.distiller import hard_loss
from kdutils.methods.fitnets import HintedDistillation, hint_loss

RANDOM = np.random.default_rng(47)
TEACHER, STUDENT = RANDOM.normal(size=(2, 4, 3, 5))
SAID, ANSWERED = RANDOM.normal(size=(2, 8, 10)) * 3
LABELS = RANDOM.integers(0, 10, 8)
SETTINGS = {"temperature": 3.0, "first_weight": 4.0, "last_weight": 1.0, "epochs": 3.0}


def test_the_hint_is_half_the_squared_distance():
    expected = ((STUDENT - TEACHER) ** 2).sum(axis=(1, 2)) / 2
    np.testing.assert_allclose(hint_loss(TEACHER, STUDENT), expected, rtol=1e-10)
    assert (np.asarray(hint_loss(TEACHER, TEACHER)) == 0).all()


def test_no_gradient_reaches_the_teacher():
    teacher, student = gradients(hint_loss, TEACHER, STUDENT)
    assert (teacher == 0).all()
    np.testing.assert_allclose(student, STUDENT - TEACHER)


def test_terms_of_the_second_training_and_their_weights():
    method = HintedDistillation(**SETTINGS)
    p, q = (softmax(logits / 3, axis=1) for logits in (SAID, ANSWERED))
    for epoch, weight in enumerate((3.0, 2.0, 1.0, 1.0)):
        method.begin_epoch(epoch)
        terms = method.terms(LABELS, {"logits": SAID}, {"logits": ANSWERED})
        assert tuple(terms) == method.term_names
        assert [float(each) for each, _ in terms.values()] == [weight, 1.0]
        np.testing.assert_allclose(terms["soft"][1], rel_entr(p, q).sum(axis=1), rtol=1e-9)
        np.testing.assert_allclose(terms["hard"][1], hard_loss(LABELS, ANSWERED))


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", 0.0), ("first_weight", -1.0), ("last_weight", -0.5), ("epochs", 0.5)],
)
def test_impossible_settings_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} has to be .*, not {value}"):
        HintedDistillation(**SETTINGS | {name: value})
