import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from kdutils.autodiff import gradients
from kdutils.methods.distiller import hard_loss
from kdutils.methods.student_friendly import StudentFriendlyTeaching, branch_loss

RANDOM = np.random.default_rng(59)
TEACHER = RANDOM.normal(size=(8, 10)) * 5
BRANCH = RANDOM.normal(size=(8, 10)) * 2
LABELS = RANDOM.integers(0, 10, 8)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_divergence_is_that_of_the_branch_from_the_teacher(temperature):
    p, r = (softmax(logits / temperature, axis=1) for logits in (TEACHER, BRANCH))
    loss = branch_loss(TEACHER, BRANCH, temperature)
    np.testing.assert_allclose(loss, rel_entr(p, r).sum(axis=1), rtol=1e-9)
    assert np.abs(np.asarray(branch_loss(BRANCH, TEACHER, temperature)) - loss).max() > 0.1


def test_a_branch_that_says_what_the_teacher_says_has_no_loss():
    np.testing.assert_allclose(branch_loss(TEACHER, TEACHER + 3, 1.0), 0, atol=1e-12)


def test_the_gradient_reaches_both_the_branch_and_the_teacher():
    teacher, branch = gradients(lambda *pair: branch_loss(*pair, 1.0), TEACHER, BRANCH)
    p, r = (softmax(logits, axis=1) for logits in (TEACHER, BRANCH))
    np.testing.assert_allclose(branch, r - p, atol=1e-10)
    surprise = np.log(p / r)
    expected = p * (surprise - (p * surprise).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(teacher, expected, atol=1e-9)
    assert np.abs(teacher).max() > 0.01


def test_terms_and_their_weights():
    method = StudentFriendlyTeaching(branch_weight=1.0, match_weight=3.0, temperature=2.0)
    method.prepare(None, {}, images=8, seed=0)
    maps = {
        "early": RANDOM.normal(size=(8, 25, 25, 32)),
        "middle": RANDOM.normal(size=(8, 11, 11, 64)),
    }
    maps = {tap: values.astype("float32") for tap, values in maps.items()}
    logits = TEACHER.astype("float32")
    terms = method.terms(LABELS, {}, {"logits": logits, **maps})
    assert tuple(terms) == method.term_names
    assert [weight for weight, _ in terms.values()] == [1.0, 0.5, 1.5]
    early, middle = (np.asarray(branch(maps[tap])) for tap, branch in method.branches.items())
    expected = {
        "hard": hard_loss(LABELS, logits),
        "branches": np.add(hard_loss(LABELS, early), hard_loss(LABELS, middle)),
        "match": np.add(branch_loss(logits, early, 2.0), branch_loss(logits, middle, 2.0)),
    }
    for name, loss in expected.items():
        np.testing.assert_allclose(terms[name][1], loss, rtol=1e-4)


@pytest.mark.parametrize("name", ["branch_weight", "match_weight", "temperature"])
def test_impossible_settings_are_refused(name):
    settings = {"branch_weight": 1.0, "match_weight": 3.0, "temperature": 1.0} | {name: -1.0}
    with pytest.raises(ValueError, match=f"{name} has to be .*, not -1.0"):
        StudentFriendlyTeaching(**settings)
