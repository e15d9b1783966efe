import numpy as np
import pytest
from scipy.special import log_softmax

from kdutils import models
from kdutils.autodiff import gradients
from kdutils.methods.contrastive import InBatchContrast, info_nce_loss
from kdutils.methods.distiller import hard_loss
from kdutils.methods.kd import kd_loss
from kdutils.methods.memory import MemoryBank
from kdutils.methods.memory_bank import MemoryBankContrast, nce_loss
from kdutils.methods.vectors import unit_vectors

RANDOM = np.random.default_rng(43)
TEACHER = RANDOM.normal(size=(12, 6)) * 3
STUDENT = RANDOM.normal(size=(12, 6))
LABELS = RANDOM.integers(0, 10, 12)
SETTINGS = {
    "width": 8,
    "contrast_temperature": 0.1,
    "contrast_weight": 0.8,
    "soft_weight": 0.5,
    "temperature": 4.0,
}
MEMORY = {"negatives": 16, "momentum": 0.25}
IMAGES = 40


def test_every_image_is_told_among_those_of_the_batch():
    teacher, student = (
        each / np.linalg.norm(each, axis=1, keepdims=True) for each in (TEACHER, STUDENT)
    )
    cosines = student @ teacher.T / 0.1
    expected = -(np.diag(log_softmax(cosines, axis=1)) + np.diag(log_softmax(cosines, axis=0))) / 2
    np.testing.assert_allclose(info_nce_loss(TEACHER, STUDENT, 0.1), expected, rtol=1e-9)


def test_embeddings_that_tell_nothing_cost_the_logarithm_of_the_batch():
    same = np.tile(TEACHER[:1], (12, 1))
    np.testing.assert_allclose(info_nce_loss(same, same, 0.1), np.log(12), rtol=1e-9)


def test_neither_scale_nor_order_matters():
    order, scales = RANDOM.permutation(12), RANDOM.uniform(0.2, 5, (12, 1))
    moved = info_nce_loss(TEACHER[order], (scales * STUDENT)[order], 0.1)
    np.testing.assert_allclose(
        moved, np.asarray(info_nce_loss(TEACHER, STUDENT, 0.1))[order], rtol=1e-9
    )


def test_both_embeddings_are_trained():
    # The teacher's is a projection that belongs to the method; the teacher itself is fixed numbers.
    for gradient in gradients(lambda *pair: info_nce_loss(*pair, 0.1), TEACHER, STUDENT):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 1e-3


@pytest.mark.parametrize("negatives", [1, 16])
def test_scores_that_tell_nothing_have_the_loss_of_a_guess(negatives):
    images = 500
    scores = np.full((4, 1 + negatives), 1 / images)
    guess = np.log(negatives + 1) + negatives * np.log((negatives + 1) / negatives)
    counted = np.ones((4, negatives))
    np.testing.assert_allclose(nce_loss(scores, counted, images), guess, rtol=1e-3)


def test_what_the_positives_tell_is_bounded_by_the_number_of_negatives():
    # The bound on the information (nats) rises with the scores and stops at the logarithm of K.
    sure = np.full((4, 17), 1e-9)
    told = []
    for score in (1 / 500, 1 / 10, 1e9):
        sure[:, 0] = score
        # Where the negatives score nothing the loss is that of the positives alone.
        told.append(np.log(16) - float(np.mean(nce_loss(sure, np.ones((4, 16)), 500))))
    assert told == sorted(told)
    assert told[-1] == pytest.approx(np.log(16), abs=1e-3)
    assert max(told) <= np.log(16)


def test_only_a_score_that_tells_the_image_lowers_the_loss():
    scores = np.exp(RANDOM.normal(size=(200, 17)) * 3) / 500
    counted = np.ones((200, 16))
    loss = np.asarray(nce_loss(scores, counted, 500))
    assert (loss > 0).all()
    surer, misled = scores.copy(), scores.copy()
    surer[:, 0] *= 2
    misled[:, 5] *= 2
    assert (np.asarray(nce_loss(surer, counted, 500)) < loss).all()
    assert (np.asarray(nce_loss(misled, counted, 500)) > loss).all()


def test_negatives_of_the_own_class_are_left_out_and_the_others_stand_for_them():
    scores = np.exp(RANDOM.normal(size=(6, 9))) / 500
    counted = np.tile([1, 1, 0, 1, 0, 1, 1, 1], (6, 1))
    chance = 8 / 500
    told = np.log(chance / (scores[:, 1:] + chance))
    expected = -np.log(scores[:, 0] / (scores[:, 0] + chance)) - 8 / 6 * (counted * told).sum(
        axis=1
    )
    np.testing.assert_allclose(nce_loss(scores, counted, 500), expected, rtol=1e-4)
    misled = scores.copy()
    misled[:, 3] *= 100  # of a negative that does not count
    np.testing.assert_allclose(nce_loss(misled, counted, 500), expected, rtol=1e-4)
    assert np.isfinite(np.asarray(nce_loss(scores, np.zeros((6, 8)), 500))).all()


def batch():
    """The outputs of both networks for some of the training images."""
    said, answered = RANDOM.normal(size=(2, 12, 10)).astype("float32") * 3
    features = RANDOM.normal(size=(12, 784)).astype("float32")
    rows = RANDOM.permutation(IMAGES)[:12]
    teacher = {"logits": said, "features": TEACHER.astype("float32"), "rows": rows}
    return teacher, {"logits": answered, "features": features}


def prepared(method):
    shapes = {"logits": (10,), "features": (6,)}
    method.prepare(models.build("mnist_student"), shapes, IMAGES, seed=3)
    return method


def embeddings(method, teacher, student):
    """What a method's projections, the teacher's and the student's, make of their features."""
    pairs = (method.of_teacher, teacher), (method.of_student, student)
    weights = [(layer.get_weights(), outputs["features"]) for layer, outputs in pairs]
    return [features @ kernel + bias for (kernel, bias), features in weights]


def check_terms(method, terms, teacher, student):
    """All but the contrast itself."""
    assert tuple(terms) == method.term_names
    assert [weight for weight, _ in terms.values()] == [0.8, 0.5, 1.0]
    logits = teacher["logits"], student["logits"]
    np.testing.assert_allclose(terms["soft"][1], kd_loss(*logits, 4.0), rtol=1e-5)
    np.testing.assert_allclose(terms["hard"][1], hard_loss(LABELS, logits[1]), rtol=1e-5)


def test_terms_and_their_weights():
    method, (teacher, student) = prepared(InBatchContrast(**SETTINGS)), batch()
    terms = method.terms(LABELS, teacher, student)
    check_terms(method, terms, teacher, student)
    expected = info_nce_loss(*embeddings(method, teacher, student), 0.1)
    np.testing.assert_allclose(terms["contrast"][1], expected, rtol=1e-3, atol=1e-4)


def test_each_network_is_compared_with_the_memory_of_the_other_and_then_remembered_in_its_own():
    method, (teacher, student) = prepared(MemoryBankContrast(**MEMORY, **SETTINGS)), batch()
    of_teacher, of_student = (
        MemoryBank(IMAGES, 8, **MEMORY, temperature=0.1, seed=seed) for seed in (6, 7)
    )
    rows = teacher["rows"]
    for _ in range(2):  # from the second time on, the images are known
        terms = method.terms(LABELS, teacher, student)
        check_terms(method, terms, teacher, student)
        by_teacher, by_student = map(unit_vectors, embeddings(method, teacher, student))
        expected = np.add(
            nce_loss(*of_teacher.scores(by_student, rows, LABELS), IMAGES),
            nce_loss(*of_student.scores(by_teacher, rows, LABELS), IMAGES),
        )
        np.testing.assert_allclose(terms["contrast"][1], expected, rtol=1e-3, atol=1e-4)
        of_teacher.remember(by_teacher, rows, LABELS)
        of_student.remember(by_student, rows, LABELS)
    for bank, expected in ((method.teachers, of_teacher), (method.students, of_student)):
        np.testing.assert_allclose(bank.rows, expected.rows, rtol=1e-3, atol=1e-5)
        np.testing.assert_array_equal(bank.classes, expected.classes)


@pytest.mark.parametrize("name", list(SETTINGS))
def test_impossible_settings_are_refused(name):
    for method, more in ((InBatchContrast, {}), (MemoryBankContrast, MEMORY)):
        with pytest.raises(ValueError, match=f"^{name} has to be .*, not -1.0"):
            method(**more, **SETTINGS | {name: -1.0})


@pytest.mark.parametrize(
    ("name", "value"), [("negatives", 0), ("negatives", 1.5), ("momentum", -0.5), ("momentum", 1)]
)
def test_impossible_settings_of_the_memory_are_refused(name, value):
    with pytest.raises(ValueError, match=f"^{name} has to (be|lie) .*, not {value}"):
        MemoryBankContrast(**SETTINGS, **MEMORY | {name: value})
