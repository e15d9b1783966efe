import numpy as np
import pytest
from scipy.stats import ortho_group

from kdutils import models
from kdutils.autodiff import gradients
from kdutils.methods.causal import InterventionalDistillation, class_loss, sample_loss
from kdutils.methods.distiller import hard_loss
from kdutils.methods.kd import kd_loss

RANDOM = np.random.default_rng(41)
TEACHER = RANDOM.normal(size=(12, 6)) * 3
STUDENT = RANDOM.normal(size=(12, 9))
LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 4, 9])
SETTINGS = {"sample_weight": 10.0, "class_weight": 0.5, "first_epochs": 1.0}


def test_the_error_of_a_sample_is_relative_to_its_teacher():
    student = STUDENT[:, :6]
    expected = ((student - TEACHER) ** 2).sum(axis=1) / (TEACHER**2).sum(axis=1)
    np.testing.assert_allclose(sample_loss(TEACHER, student), expected, rtol=1e-10)
    scales = RANDOM.uniform(0.2, 5, (12, 1))
    np.testing.assert_allclose(sample_loss(scales * TEACHER, scales * student), expected, rtol=1e-9)


def test_equal_features_have_no_error_and_none_at_all_has_one():
    assert (np.asarray(sample_loss(TEACHER, TEACHER)) == 0).all()
    np.testing.assert_allclose(sample_loss(TEACHER, np.zeros((12, 6))), 1)


def test_pairs_of_one_class_are_compared_class_by_class():
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (TEACHER, STUDENT)]
    teacher, student = (each @ each.T for each in unit)
    classes = []
    for label in (0, 1, 2):
        rows = np.ix_(label == LABELS, label == LABELS)
        classes.append(((student[rows] - teacher[rows]) ** 2).mean())
    assert float(class_loss(TEACHER, STUDENT, LABELS)) == pytest.approx(np.mean(classes), rel=1e-9)


def test_only_directions_among_the_samples_count():
    scales = RANDOM.uniform(0.2, 5, (12, 1))
    turned = scales * STUDENT @ ortho_group.rvs(9, random_state=3)
    expected = float(class_loss(TEACHER, STUDENT, LABELS))
    assert float(class_loss(TEACHER, turned, LABELS)) == pytest.approx(expected, rel=1e-9)


def test_classes_of_one_sample_say_nothing():
    found = gradients(lambda student: class_loss(TEACHER, student, np.arange(12)), STUDENT)[0]
    assert float(class_loss(TEACHER, STUDENT, np.arange(12))) == 0
    assert (found == 0).all()


def test_no_gradient_reaches_the_teacher():
    losses = {
        sample_loss: STUDENT[:, :6],
        lambda teacher, student: class_loss(teacher, student, LABELS): STUDENT,
    }
    for loss, student in losses.items():
        by_teacher, by_student = gradients(loss, TEACHER, student)
        assert (by_teacher == 0).all()
        assert np.abs(by_student).max() > 1e-3


def test_features_of_zero_have_a_finite_gradient():
    student = STUDENT.copy()
    student[1] = 0
    found = gradients(lambda student: class_loss(TEACHER, student, LABELS), student)[0]
    assert np.isfinite(found).all()


def test_terms_and_their_weights():
    said, plain, with_context = RANDOM.normal(size=(3, 12, 10)).astype("float32") * 3
    features = RANDOM.normal(size=(12, 784)).astype("float32")
    teacher = {"logits": said, "features": TEACHER.astype("float32")}
    student = {"logits": with_context, "plain_logits": plain, "features": features}
    method = InterventionalDistillation(**SETTINGS)
    network = models.build("mnist_student_interventional")
    method.prepare(network, {"logits": (10,), "features": (6,)}, images=12, seed=0)
    for epoch, with_labels in enumerate((0.0, 1.0)):
        method.begin_epoch(epoch)
        terms = method.terms(LABELS, teacher, student)
        assert tuple(terms) == method.term_names
        assert [float(weight) for weight, _ in terms.values()] == [1.0, 10.0, 0.5, with_labels]
        kernel, bias = method.regressor.get_weights()
        expected = {
            "soft": kd_loss(said, plain, 4.0),  # of the head without context
            "sample": sample_loss(teacher["features"], features @ kernel + bias),
            "class": class_loss(teacher["features"], features, LABELS),
            "hard": hard_loss(LABELS, with_context),
        }
        for name, loss in expected.items():
            np.testing.assert_allclose(terms[name][1], loss, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "value"), [("sample_weight", -1.0), ("class_weight", -0.5), ("first_epochs", 0.0)]
)
def test_impossible_settings_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} has to be .*, not {value}"):
        InterventionalDistillation(**SETTINGS | {name: value})
