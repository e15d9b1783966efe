import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from kdutils import data, training
from kdutils.autodiff import gradients
from kdutils.methods.distiller import hard_loss
from kdutils.methods.votes import VoteTargets, vote_loss
from kdutils.runs import Run

RANDOM = np.random.default_rng(53)
LOGITS = RANDOM.normal(size=(6, 2)) * 3
SHARES = np.array([[1, 0], [0, 1], [4, 3], [2, 5], [6, 1], [7, 0]]) / np.array(
    [[1], [1], [7], [7], [7], [7]]
)
LABELS = SHARES.argmax(axis=1)


def test_the_loss_is_the_cross_entropy_with_the_shares():
    expected = -(SHARES * log_softmax(LOGITS, axis=1)).sum(axis=1)
    np.testing.assert_allclose(vote_loss(SHARES, LOGITS), expected, rtol=1e-9)


def test_votes_without_dissent_are_labels():
    agreed = np.eye(2)[LABELS]
    np.testing.assert_allclose(vote_loss(agreed, LOGITS), hard_loss(LABELS, LOGITS), rtol=1e-6)


def test_the_gradient_pulls_probabilities_to_the_shares():
    _, gradient = gradients(vote_loss, SHARES, LOGITS)
    np.testing.assert_allclose(gradient, softmax(LOGITS, axis=1) - SHARES, atol=1e-9)


def test_terms_and_their_weights():
    terms = VoteTargets(0.3).terms(LABELS, {"votes": SHARES}, {"logits": LOGITS})
    assert tuple(terms) == VoteTargets.term_names
    assert [weight for weight, _ in terms.values()] == [0.3, 0.7]
    np.testing.assert_allclose(terms["hard"][1], hard_loss(LABELS, LOGITS))


def test_impossible_weights_are_refused():
    with pytest.raises(ValueError, match="alpha has to lie between"):
        VoteTargets(1.5)


TAUGHT_BY_VOTES = Run(
    "mobilenetv2",
    data="synthetic",
    method="votes",
    options={"alpha": 0.5},
    size=32,
    train_size=32,
    views="turns",
    epochs=1,
    batch_size=16,
)


def test_a_student_learns_from_the_votes_of_its_images():
    record, _ = training.train(TAUGHT_BY_VOTES)
    soft, hard = (record.history[term][0] for term in VoteTargets.term_names)
    assert record.history["loss"][0] == pytest.approx((soft + hard) / 2, rel=1e-5)


def test_images_without_votes_are_refused_by_name():
    part = data.load("synthetic_source", size=16).train
    with pytest.raises(training.TrainingError, match="have no votes"):
        training.shares_of_annotators(TAUGHT_BY_VOTES, part)
