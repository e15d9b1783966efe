import numpy as np
import pytest
from precision import within
from scipy.special import logsumexp, softmax

from kdutils.autodiff import gradients
from kdutils.methods.distiller import hard_loss
from kdutils.methods.kd import KnowledgeDistillation, kd_loss
from kdutils.methods.subclass import (
    KnownSubclassDistillation,
    SubclassDistillation,
    SubclassTeaching,
    auxiliary_loss,
    class_logits,
)

RANDOM = np.random.default_rng(37)
TEACHER = RANDOM.normal(size=(16, 20)) * 4
STUDENT = RANDOM.normal(size=(16, 20)) * 2
LABELS = RANDOM.integers(0, 10, 16)


def outputs(subclass_logits):
    return {"subclass_logits": subclass_logits, "logits": class_logits(subclass_logits, 10)}


def test_classes_have_the_probability_of_their_subclasses_together():
    summed = softmax(STUDENT, axis=1).reshape(16, 10, 2).sum(axis=2)
    np.testing.assert_allclose(softmax(class_logits(STUDENT, 10), axis=1), summed, rtol=1e-10)


def test_classes_cannot_be_softened_afterwards():
    summed = softmax(STUDENT / 4, axis=1).reshape(16, 10, 2).sum(axis=2)
    softened = softmax(np.asarray(class_logits(STUDENT, 10)) / 4, axis=1)
    assert np.abs(softened - summed).max() > 0.01


def test_one_subclass_a_class_is_the_class():
    logits = STUDENT[:, :10]
    np.testing.assert_allclose(class_logits(logits, 10), logits, rtol=1e-12)
    both = ({"logits": each, "subclass_logits": each} for each in (TEACHER[:, :10], logits))
    teacher, student = both
    subclasses = SubclassDistillation(4.0, 0.5).terms(LABELS, teacher, student)
    plain = KnowledgeDistillation(4.0, 0.5).terms(LABELS, teacher, student)
    assert subclasses.keys() == plain.keys()
    for name, (weight, loss) in plain.items():
        assert subclasses[name][0] == weight
        np.testing.assert_allclose(subclasses[name][1], loss, rtol=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_the_auxiliary_loss_by_its_formula(temperature):
    correlations = np.corrcoef(STUDENT)
    expected = logsumexp(correlations / temperature, axis=1).mean() - 1 / temperature - np.log(16)
    found = float(auxiliary_loss(STUDENT, temperature))
    assert found == pytest.approx(expected, rel=within(1e-9))
    assert -2 / temperature < found < 0


def test_the_auxiliary_loss_sees_correlations_only():
    scales, shifts = RANDOM.uniform(0.2, 5, (16, 1)), RANDOM.normal(size=(16, 1)) * 9
    moved = float(auxiliary_loss(scales * STUDENT + shifts, 1.0))
    assert moved == pytest.approx(float(auxiliary_loss(STUDENT, 1.0)), rel=within(1e-9))
    alike = scales * STUDENT[:1] + shifts
    assert float(auxiliary_loss(alike, 1.0)) == pytest.approx(0, abs=within(1e-9))


def test_equal_logits_have_a_finite_gradient():
    found = gradients(lambda logits: auxiliary_loss(logits, 1.0), np.zeros((16, 20)))[0]
    assert np.isfinite(found).all()


def test_the_auxiliary_loss_spreads_the_samples():
    (gradient,) = gradients(lambda logits: auxiliary_loss(logits, 1.0), STUDENT)
    before, after = (np.corrcoef(each).sum() for each in (STUDENT, STUDENT - 10 * gradient))
    assert after < before


def test_terms_of_the_teacher():
    method = SubclassTeaching(beta=0.1, temperature=2.0)
    terms = method.terms(LABELS, {}, outputs(STUDENT))
    assert tuple(terms) == method.term_names
    assert [weight for weight, _ in terms.values()] == [1.0, 0.1]
    np.testing.assert_allclose(terms["hard"][1], hard_loss(LABELS, class_logits(STUDENT, 10)))
    assert float(terms["auxiliary"][1]) == float(auxiliary_loss(STUDENT, 2.0))


def test_terms_of_the_student():
    method = SubclassDistillation(temperature=4.0, alpha=0.7)
    terms = method.terms(LABELS, outputs(TEACHER), outputs(STUDENT))
    assert tuple(terms) == method.term_names
    assert [weight for weight, _ in terms.values()] == pytest.approx([0.7, 0.3])
    np.testing.assert_allclose(terms["soft"][1], kd_loss(TEACHER, STUDENT, 4.0))
    np.testing.assert_allclose(terms["hard"][1], hard_loss(LABELS, class_logits(STUDENT, 10)))


def test_terms_of_the_student_whose_teacher_tells_the_subclasses():
    digits, labels = STUDENT[:, :10], LABELS // 5
    classes = class_logits(digits, 2)
    method = KnownSubclassDistillation(temperature=4.0, alpha=0.7)
    terms = method.terms(
        labels, {"logits": TEACHER[:, :10]}, {"subclass_logits": digits, "logits": classes}
    )
    assert tuple(terms) == method.term_names
    assert [weight for weight, _ in terms.values()] == pytest.approx([0.7, 0.3])
    np.testing.assert_allclose(terms["soft"][1], kd_loss(TEACHER[:, :10], digits, 4.0))
    np.testing.assert_allclose(terms["hard"][1], hard_loss(labels, classes))


def test_impossible_settings_are_refused():
    for settings in ({"beta": -1.0, "temperature": 1.0}, {"beta": 0.1, "temperature": 0.0}):
        with pytest.raises(ValueError, match=r"has to be .*, not"):
            SubclassTeaching(**settings)
    for settings in ({"alpha": 1.5, "temperature": 1.0}, {"alpha": 0.5, "temperature": 0.0}):
        with pytest.raises(ValueError, match=r"has to .*, not"):
            SubclassDistillation(**settings)
