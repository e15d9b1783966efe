import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from kdutils.autodiff import gradients
from kdutils.methods.distiller import hard_loss
from kdutils.methods.votes import VoteTargets, vote_loss

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
