"""How far the gradient of a loss comes down through a stack of layers, with skips and without.

The stacks are as plain as the question allows: 3 x 3 convolutions of one width on images of one
size, two to a block, so that every skip is an identity. A state is what one block hands to the
next. Three connections, after He et al. 2016 (1512.03385 and 1603.05027), with `F` a block's two
convolutions:

* `plain`: `x' = relu(F(x))`,
* `v1`: `x' = relu(x + F(x))`, normalisation and ReLU after each convolution but the last ReLU,
* `v2`: `x' = x + F(x)`, normalisation and ReLU before each convolution, once more after the stack.

Batch normalisation uses the statistics of the batch and learns no scale and shift of its own. The
networks are pure functions of their weights, so that `kdutils.autodiff` can differentiate them on
any backend.
"""

import itertools
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from kdutils import data
from kdutils.autodiff import gradients

CONNECTIONS = ("plain", "v1", "v2")
CHANNELS = 16
POOLED = 4  # pixels, to each side of a square that becomes one
CLASSES = 10
EPSILON = 1e-5


def measure(
    ledger,
    runs,
    depths: Sequence[int],
    seeds: Sequence[int],
    images: int,
    trained_depths: Sequence[int],
    steps: int,
    learning_rate: float,
    lengths: int,
    paths: int,
) -> dict:
    """Measure gradients in stacks of every kind, for `Ledger.analyse`.

    Args:
        ledger: Unused: nothing here rests on a recorded run.
        runs: None, for the same reason.
        depths: Convolutions in the blocks of a stack, even numbers.
        seeds: Of the initial weights.
        images: Digits of MNIST, one batch.
        trained_depths: Depths of the stacks that are trained.
        steps: Of gradient descent on that batch.
        learning_rate: Of these steps.
        lengths: How many lengths of path to try, see `path_gradients`.
        paths: How many paths of each length.

    Returns:
        `initial`, a row for each kind of stack and depth: `connection`, `normalised`, `weights`
        (`glorot` or `he`), `depth`, and for each seed the `ratios` of the gradient's length at the
        first state to that at the last. `profiles`, for the deepest stack of each kind and the
        first seed: the gradient's `lengths` by state. `training`, for each kind and trained depth:
        the `losses` before each step and after the last, as long as they are finite, and the
        `ratio` then. `paths`: what `path_gradients` returns for the deepest normalised `v2` with
        weights `he`, at the start.
    """
    del ledger, runs
    digits, labels = small_digits(images)
    deepest, first_seed = max(depths), seeds[0]
    found = {"initial": [], "profiles": [], "training": []}
    for initial, normalised, connection in itertools.product(
        ("glorot", "he"), (False, True), CONNECTIONS
    ):
        kind = {"connection": connection, "normalised": normalised, "weights": initial}
        stack = Stack(digits, labels, connection, normalised)
        for depth in sorted(depths):
            by_seed = [
                stack.gradient_lengths(initial_weights(depth, initial, seed)) for seed in seeds
            ]
            ratios = [_ratio(by_state) for by_state in by_seed]
            found["initial"].append(kind | {"depth": depth, "ratios": ratios})
        found["profiles"].append(kind | {"lengths": shortened(by_seed[0])})  # of the deepest
        for depth in sorted(trained_depths):
            start = initial_weights(depth, initial, first_seed)
            losses, weights = stack.descend(start, steps, learning_rate)
            ratio = _ratio(stack.gradient_lengths(weights))
            found["training"].append(
                kind | {"depth": depth, "losses": shortened(losses), "ratio": ratio}
            )
    stack = Stack(digits, labels, "v2", normalised=True)
    weights = initial_weights(deepest, "he", first_seed)
    return found | {"paths": path_gradients(stack, weights, lengths, paths)}


def small_digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first digits of a stratified part of MNIST, `(N, 7, 7, 1)`, and their labels.

    Squares of pixels are averaged, and all values brought to mean zero and deviation one.
    """
    part = data.load("mnist", train_size=count).train
    count, height, width, channels = part.images.shape
    squares = (count, height // POOLED, POOLED, width // POOLED, POOLED, channels)
    images = part.images.reshape(squares).mean(axis=(2, 4))
    return ((images - images.mean()) / images.std()).astype("float32"), part.labels.astype("int32")


def initial_weights(depth: int, initial: str, seed: int) -> list[np.ndarray]:
    """Draw the kernels of a stack: the first convolution, those of the blocks, the dense layer.

    Args:
        depth: Convolutions in the blocks.
        initial: `glorot`, of variance `2 / (inputs + outputs)` of a kernel (Glorot & Bengio 2010),
            or `he`, of `2 / inputs`, which makes up for the half that a ReLU takes (He et al.
            2015, 1502.01852). The dense layer, behind which there is no ReLU, is Glorot's always.
        seed: Each kernel has a generator of its own.
    """
    shapes = [(3, 3, 1, CHANNELS), *[(3, 3, CHANNELS, CHANNELS)] * depth, (CHANNELS, CLASSES)]
    weights = []
    for index, shape in enumerate(shapes):
        *field, inputs, outputs = shape
        fan_in, fan_out = np.prod(field) * inputs, np.prod(field) * outputs
        he = initial == "he" and field
        variance = 2 / fan_in if he else 2 / (fan_in + fan_out)
        limit = np.sqrt(3 * variance)
        generator = np.random.default_rng([seed, index])
        weights.append(generator.uniform(-limit, limit, shape).astype("float32"))
    return weights


class Stack:
    """The loss of a batch as a function of the weights of a stack.

    Args:
        images: `(N, H, W, 1)`, float.
        labels: `(N,)`, integers.
        connection: One of `CONNECTIONS`.
        normalised: Whether there is batch normalisation.
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, connection: str, normalised: bool
    ) -> None:
        if connection not in CONNECTIONS:
            raise ValueError(f"no connection {connection!r}; there are {', '.join(CONNECTIONS)}")
        self.images, self.connection, self.normalised = images, connection, normalised
        self.targets = np.eye(CLASSES, dtype="float32")[labels]

    def loss(self, weights: Sequence, states: Sequence | None = None, route=None):
        """Return the mean cross-entropy of the batch.

        Args:
            weights: See `initial_weights`.
            states: Something to add to each state; the gradient by it is that by the state.
            route: For each block, whether the gradient takes its convolutions alone (`True`) or
                its skip alone (`False`), where it takes both by default; the loss stays the same.
        """
        first, *kernels, dense = weights
        blocks = len(kernels) // 2
        added = [0.0] * (blocks + 1) if states is None else states
        x = _convolve(self.images, first)
        if self.connection != "v2":
            x = self._activate(x)
        for block in range(blocks):
            x = x + added[block]
            through = None if route is None else route[block]
            x = self._block(x, *kernels[2 * block : 2 * block + 2], through)
        x = x + added[blocks]
        if self.connection == "v2":
            x = self._activate(x)
        logits = ops.matmul(ops.mean(x, axis=(1, 2)), dense)
        return ops.mean(keras.losses.categorical_crossentropy(self.targets, logits, True))

    def _block(self, x, one, other, through):
        skip = inside = x
        if through is not None:
            skip, inside = (ops.stop_gradient(x), x) if through else (x, ops.stop_gradient(x))
        if self.connection == "v2":
            return skip + _convolve(self._activate(_convolve(self._activate(inside), one)), other)
        inside = self._normalise(_convolve(self._activate(_convolve(inside, one)), other))
        return ops.relu(skip + inside if self.connection == "v1" else inside)

    def _activate(self, x):
        return ops.relu(self._normalise(x))

    def _normalise(self, x):
        if not self.normalised:
            return x
        mean, variance = ops.moments(x, axes=(0, 1, 2), keepdims=True)
        return (x - mean) * ops.rsqrt(variance + EPSILON)

    def state_gradients(self, weights: Sequence[np.ndarray], route=None) -> list[np.ndarray]:
        """Differentiate the loss by every state, the first to the last, `(N, H, W, CHANNELS)`."""
        states = (len(weights) - 2) // 2 + 1
        nothing = np.zeros((*self.images.shape[:-1], CHANNELS), "float32")
        return gradients(lambda *added: self.loss(weights, added, route), *[nothing] * states)

    def gradient_lengths(self, weights: Sequence[np.ndarray], route=None) -> list[np.floating]:
        """Return the lengths of `state_gradients`."""
        found = self.state_gradients(weights, route)
        return [np.linalg.norm(each.astype("float64")) for each in found]

    def descend(
        self, weights: list[np.ndarray], steps: int, learning_rate: float
    ) -> tuple[list[float], list[np.ndarray]]:
        """Take steps of plain gradient descent on the batch, as long as the loss is finite.

        Returns:
            The loss before each step and after the last, and the weights of the last finite loss.
        """
        losses = [self._value(weights)]
        for _ in range(steps):
            found = gradients(lambda *each: self.loss(each), *weights)
            moved = [w - learning_rate * g for w, g in zip(weights, found, strict=True)]
            loss = self._value(moved)
            if not np.isfinite(loss):
                break
            losses.append(loss)
            weights = moved
        return losses, weights

    def _value(self, weights) -> float:
        return float(ops.convert_to_numpy(self.loss(weights)))


def path_gradients(
    stack: Stack, weights: Sequence[np.ndarray], lengths: int, paths: int, seed: int = 0
) -> dict[str, list]:
    """Measure how much gradient comes down paths that pass so many blocks' convolutions.

    With `n` blocks there are `2^n` paths from the last state to the first, as each block can be
    passed or skipped, and the gradient is the sum of theirs. After Veit et al. 2016 (1605.06431).

    Args:
        stack: With skips.
        weights: Of the stack.
        lengths: How many lengths to try, from 0 to the number of blocks.
        paths: How many random paths of each length.
        seed: Of the choice of paths.

    Returns:
        `tried`, the lengths; `mean` and `root_mean_square`, over the paths of a length, of the
        length of the gradient of one path at the first state, as a fraction of the whole there.
    """
    blocks = (len(weights) - 2) // 2
    generator = np.random.default_rng(seed)
    # Short paths matter most, so they are tried more densely.
    tried = np.unique(np.rint(blocks * np.linspace(0, 1, lengths) ** 2).astype(int))
    whole = stack.gradient_lengths(weights)[0]
    found = []
    for length in tried:
        routes = np.zeros((paths if 0 < length < blocks else 1, blocks), bool)
        for route in routes:
            route[generator.choice(blocks, length, replace=False)] = True
        found.append([stack.gradient_lengths(weights, route)[0] / whole for route in routes])
    return {
        "tried": tried.tolist(),
        "mean": shortened([np.mean(each) for each in found]),
        "root_mean_square": shortened([np.sqrt(np.mean(np.square(each))) for each in found]),
    }


def finite(value) -> float | None:
    """Return a number to four digits as JSON can hold it: what is not finite is `None`."""
    return float(f"{value:.4g}") if np.isfinite(value) else None


def shortened(values: Sequence) -> list[float | None]:
    """Return numbers as `finite` does."""
    return [finite(value) for value in values]


def _ratio(lengths) -> float | None:
    return finite(lengths[0] / lengths[-1])


def _convolve(x, kernel):
    return ops.conv(x, kernel, padding="same")
