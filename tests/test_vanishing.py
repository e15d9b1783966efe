import itertools
import json

import numpy as np
import pytest

from kdutils import data, vanishing
from kdutils.vanishing import Stack, initial_weights

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(6, 5, 5, 1)).astype("float32")
LABELS = np.array([3, 1, 4, 1, 5, 9])


def stack(connection, normalised=True):
    return Stack(IMAGES, LABELS, connection, normalised)


def length(array):
    return np.linalg.norm(array.astype("float64"))


# --- what goes in


def test_digits_are_averaged_over_squares_and_standardised():
    images, labels = vanishing.small_digits(20)
    part = data.load("mnist", train_size=20).train
    assert images.shape == (20, 7, 7, 1)
    assert images.dtype == "float32"
    assert labels.tolist() == part.labels.tolist()
    assert (images.mean(), images.std()) == pytest.approx((0, 1), abs=1e-5)
    one, other = part.images[2, 8:12, 12:16].mean(), part.images[5, 16:20, 8:12].mean()
    spread = part.images.reshape(20, 7, 4, 7, 4).mean(axis=(2, 4)).std()
    assert images[2, 2, 3, 0] - images[5, 4, 2, 0] == pytest.approx((one - other) / spread)


@pytest.mark.parametrize(("initial", "variance"), [("glorot", 1 / 144), ("he", 2 / 144)])
def test_initial_weights_have_the_variance_of_their_rule(initial, variance):
    first, *kernels, dense = initial_weights(8, initial, seed=1)
    assert first.shape == (3, 3, 1, 16)
    assert {kernel.shape for kernel in kernels} == {(3, 3, 16, 16)}
    assert len(kernels) == 8
    # Uniform on both sides of zero up to sqrt(3 variance).
    assert np.var(kernels) == pytest.approx(variance, rel=0.03)
    assert np.abs(kernels).max() == pytest.approx(np.sqrt(3 * variance), rel=1e-3)
    assert np.abs(dense).max() <= np.sqrt(6 / 26)


def test_initial_weights_depend_on_the_seed_and_not_on_the_depth():
    shallow, deep = initial_weights(4, "he", 0), initial_weights(8, "he", 0)
    for one, other in zip(shallow[:-1], deep, strict=False):
        np.testing.assert_array_equal(one, other)
    assert np.abs(shallow[1] - initial_weights(4, "he", 1)[1]).max() > 0.1


def test_an_unknown_connection_is_refused():
    with pytest.raises(ValueError, match="no connection 'dense'; there are plain, v1, v2"):
        stack("dense")


# --- the loss and its gradients


@pytest.mark.parametrize("connection", vanishing.CONNECTIONS)
def test_a_stack_that_says_nothing_has_the_loss_of_guessing(connection):
    weights = [np.zeros_like(each) for each in initial_weights(4, "he", 0)]
    assert float(stack(connection).loss(weights)) == pytest.approx(np.log(10), rel=1e-5)


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("connection", vanishing.CONNECTIONS)
def test_the_gradient_by_a_state_is_the_change_of_the_loss(connection, normalised):
    one, weights = stack(connection, normalised), initial_weights(4, "glorot", 0)
    gradients = one.state_gradients(weights)
    assert len(gradients) == 3
    states = [np.zeros((6, 5, 5, 16), "float32")] * 3
    for index, gradient in enumerate(gradients):
        step = 1e-2 * gradient / length(gradient)
        ends = [
            float(one.loss(weights, [*states[:index], sign * step, *states[index + 1 :]]))
            for sign in (-1, 1)
        ]
        assert np.diff(ends)[0] / 2e-2 == pytest.approx(length(gradient), rel=0.1)


def test_lengths_are_those_of_the_gradients():
    one, weights = stack("v2"), initial_weights(6, "he", 0)
    expected = [length(each) for each in one.state_gradients(weights)]
    assert one.gradient_lengths(weights) == pytest.approx(expected, rel=1e-5)


def test_an_identity_skip_hands_the_gradient_down_unchanged():
    one, weights = stack("v2"), initial_weights(6, "he", 0)
    last = one.state_gradients(weights)[-1]
    for gradient in one.state_gradients(weights, route=[False] * 3):
        np.testing.assert_allclose(gradient, last, rtol=1e-5, atol=1e-9)


def test_the_relu_after_the_addition_of_version_1_takes_some_of_it():
    one, weights = stack("v1"), initial_weights(6, "he", 0)
    gradients = one.state_gradients(weights, route=[False] * 3)
    lengths = [length(gradient) for gradient in gradients]
    assert lengths == sorted(lengths)
    assert lengths[0] < 0.95 * lengths[-1]


def test_the_gradient_is_the_sum_over_all_paths():
    one, weights = stack("v2"), initial_weights(6, "he", 0)
    whole = one.state_gradients(weights)[0]
    paths = [
        one.state_gradients(weights, route)[0]
        for route in itertools.product([False, True], repeat=3)
    ]
    np.testing.assert_allclose(sum(paths), whole, rtol=1e-3, atol=1e-3 * np.abs(whole).max())


@pytest.mark.parametrize("route", [None, [True, False], [False, False]])
def test_a_route_does_not_change_the_loss(route):
    one, weights = stack("v2"), initial_weights(4, "he", 0)
    assert float(one.loss(weights, route=route)) == pytest.approx(float(one.loss(weights)))


# --- what is found


@pytest.mark.parametrize(
    ("connection", "normalised", "initial", "low", "high"),
    [
        ("plain", False, "glorot", 0, 1e-2),  # vanishes
        ("plain", False, "he", 2e-2, 10),  # the zeros of the padding take some
        ("plain", True, "he", 5, 1e4),  # explodes
        ("v2", True, "he", 0.3, 30),
    ],
)
def test_what_comes_down_through_twenty_layers(connection, normalised, initial, low, high):
    by_state = stack(connection, normalised).gradient_lengths(initial_weights(20, initial, 0))
    assert low < by_state[0] / by_state[-1] < high


def test_descent_lowers_the_loss():
    one, weights = stack("v2"), initial_weights(4, "he", 0)
    losses, trained = one.descend(weights, steps=4, learning_rate=0.05)
    assert len(losses) == 5
    assert losses[-1] < losses[0]
    assert float(one.loss(trained)) == pytest.approx(losses[-1])


def test_descent_ends_where_numbers_do():
    one, weights = stack("v1", normalised=False), initial_weights(4, "he", 0)
    losses, trained = one.descend(weights, steps=5, learning_rate=1e30)
    assert len(losses) == 1
    assert trained is weights


def test_paths_of_no_length_carry_the_last_gradient():
    one, weights = stack("v2"), initial_weights(6, "he", 0)
    found = vanishing.path_gradients(one, weights, lengths=3, paths=2)
    whole, *_, last = one.gradient_lengths(weights)
    through_all = one.gradient_lengths(weights, [True] * 3)[0]
    assert found["tried"] == [0, 1, 3]
    for values in (found["mean"], found["root_mean_square"]):
        assert (values[0], values[2]) == pytest.approx((last / whole, through_all / whole), 1e-3)


def test_means_over_paths_are_those_of_lengths_and_of_squares():
    one, weights = stack("v2"), initial_weights(4, "he", 0)
    found = vanishing.path_gradients(one, weights, lengths=4, paths=12)
    whole = one.gradient_lengths(weights)[0]
    ways = ([True, False], [False, True])
    both = [one.gradient_lengths(weights, route)[0] / whole for route in ways]
    assert found["tried"] == [0, 1, 2]
    assert min(both) < found["mean"][1] <= found["root_mean_square"][1] < max(both)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.23456, 1.235), (np.float32(2e-9), 2e-9), (np.inf, None), (np.nan, None)],
)
def test_what_json_cannot_hold_is_none(value, expected):
    assert vanishing.finite(value) == expected


def test_every_kind_of_stack_is_measured():
    found = vanishing.measure(
        None,
        [],
        depths=[4, 2],
        seeds=[0, 1],
        images=10,
        trained_depths=[2],
        steps=1,
        learning_rate=0.1,
        lengths=2,
        paths=1,
    )
    json.dumps(found, allow_nan=False)
    kinds = list(itertools.product(("glorot", "he"), (False, True), vanishing.CONNECTIONS))

    def kind(row):
        return row["weights"], row["normalised"], row["connection"]

    assert [kind(row) for row in found["profiles"]] == kinds
    assert [kind(row) for row in found["training"]] == kinds
    assert [row["depth"] for row in found["initial"]] == [2, 4] * len(kinds)
    for row in found["profiles"]:
        assert len(row["lengths"]) == 3
    lengths = found["profiles"][0]["lengths"]
    of_seed = found["initial"][1]["ratios"]
    assert len(of_seed) == 2
    assert of_seed[0] == pytest.approx(lengths[0] / lengths[-1], rel=1e-3)
    assert {len(row["losses"]) for row in found["training"]} <= {1, 2}
    assert found["paths"]["tried"] == [0, 2]
