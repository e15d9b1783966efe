"""Train one run and score it; what needs training, and where results lie, the ledger knows."""

import json
import math
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np
from scipy.special import softmax

from kdutils import binary, data, frozen, methods, metrics, models, provenance
from kdutils.data import views, votes
from kdutils.methods.distiller import Distiller
from kdutils.models.taps import tapped
from kdutils.models.transfer import (
    above,
    load_imagenet,
    put_back,
    transfer,
    with_fixed_statistics,
)
from kdutils.paths import replaced_atomically
from kdutils.predicting import predict, predict_each, traced_in_vain
from kdutils.runs import Record, Run, pack, pack_scores

PREDICTION_BATCH = 1000
PREDICTED_PIXELS = 1_000_000  # at a time: a deep network widens each to hundreds of values


class TrainingError(RuntimeError):
    """A training that cannot go on, with what to change."""


@dataclass(frozen=True)
class Outputs:
    """What a model says about some images, found by sample id and never by position.

    Args:
        ids: `(N,)` sample ids, ascending.
        values: `(N, …)` by tapped layer.
    """

    ids: np.ndarray
    values: dict[str, np.ndarray]

    def of(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        """Look up samples; `rows` tells where each of them stands among all.

        Raises:
            KeyError: One of them has no output.
        """
        rows = np.searchsorted(self.ids, ids)
        rows[rows == len(self.ids)] = 0
        if not np.array_equal(self.ids[rows], ids):
            missing = np.setdiff1d(ids, self.ids)
            raise KeyError(f"no teacher outputs for {len(missing)} samples, such as {missing[:3]}")
        return {tap: values[rows] for tap, values in self.values.items()} | {"rows": rows}


def outputs(model: keras.Model, part: data.Part, taps: tuple[str, ...] = ("logits",)) -> Outputs:
    """Run a model over a part of the data, in inference mode.

    Args:
        model: A model with the named layers.
        part: The images; their ids ascend.
        taps: Names of layers, see `kdutils.models.taps`.
    """
    (found,) = said_by(tapped(model, taps), [part])
    return found


def said_by(speaking: keras.Model, parts: Sequence[data.Part]) -> Iterator[Outputs]:
    """Run a model that gives the outputs of its layers by name, see `kdutils.models.taps.tapped`.

    Over several parts it is traced once, which takes a deep network longer than to run. What it
    says of one part can be kept before the next is run.
    """
    said = predict_each(speaking, [part.images for part in parts], _at_a_time(parts[0]))
    # In half precision NumPy could neither store them nor compute with them.
    for part, values in zip(parts, said, strict=True):
        yield Outputs(part.ids, {tap: np.asarray(each, "float32") for tap, each in values.items()})


def load_data(run: Run) -> data.Dataset:
    """Load a run's data, split as the run asks."""
    dataset = data.load(
        run.data,
        validation=run.validation or 0,
        train_size=run.train_size,
        fold=run.fold,
        size=run.size,
    )
    if run.classes is None:
        return dataset
    kept = np.isin(dataset.train.labels, run.classes)
    return replace(dataset, train=dataset.train.take(kept))


def train(
    run: Run,
    teacher: Sequence[Outputs] | None = None,
    initial: keras.Model | None = None,
    workspace: Path | None = None,
    on_epoch: Callable[[int, dict], None] | None = None,
    frozen_outputs: Path | None = None,
) -> tuple[Record, keras.Model]:
    """Train a run from what it rests on.

    Args:
        run: What to train.
        teacher: Outputs of the run's teacher on the training images, one for each of the run's
            views; needed where it has a teacher.
        initial: The model whose weights the run starts from; needed where it names one.
        workspace: A folder for the state after each epoch, from which an interrupted training goes
            on, and for the snapshots of runs that keep them.
        on_epoch: Called after each epoch with its number, from 1, and its history.
        frozen_outputs: A folder for what frozen layers make of images, see `kdutils.frozen`.

    Returns:
        The record, and the trained model.

    Raises:
        TrainingError: The loss is no longer finite, or there are fewer images than a batch.
    """
    dataset = load_data(run)
    steps = len(dataset.train) // run.batch_size
    if steps == 0:
        raise TrainingError(
            f"{run.label}: {len(dataset.train)} training images do not fill one batch of "
            f"{run.batch_size}; lower batch_size or raise train_size"
        )
    method = methods.build(run.method, dict(run.options))
    if method.reads_votes:
        teacher = [shares_of_annotators(run, dataset.train)] * len(views.of(run.views))
    student = _initial(run, initial)
    trained, below = student, None
    if run.frozen is not None:
        part, shown = dataset.train, in_all_views(run, dataset.train)
        seen = frozen.outputs(student, run.frozen, shown, _at_a_time(part), frozen_outputs)
        below = [Outputs(part.ids, {run.frozen: values}) for values in seen]
        trained = above(student, run.frozen)
    said = teacher[0].values if teacher else {}
    shapes = {tap: values.shape[1:] for tap, values in said.items()}
    method.prepare(trained, shapes, len(dataset.train), run.seed)
    class_weight = run.class_weight and _balanced(dataset.train.labels, len(dataset.classes))
    distiller = Distiller(trained, method, class_weight)
    distiller.compile(
        optimizer=keras.optimizers.Adam(_learning_rate(run, steps)),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        # On a CPU, XLA is several times slower than oneDNN here; JAX knows no other way.
        jit_compile=keras.backend.backend() == "jax",
        run_eagerly=traced_in_vain(trained, steps * run.epochs),
    )
    distiller.optimizer.build(distiller.trainable_variables)
    code = provenance.code_digest(run)
    state = TrainingState(distiller, code, workspace and workspace / "state.npz")
    history = state.restore()
    for epoch in range(len(history.get("loss", ())), run.epochs):
        started = time.perf_counter()
        # The order of an epoch depends on the seed and the epoch alone: paired runs see the same
        # batches, and a resumed training goes on as if it had never stopped.
        order = np.random.default_rng([run.seed, epoch]).permutation(len(dataset.train))
        part = dataset.train.take(order[: steps * run.batch_size])
        method.begin_epoch(epoch)
        fitted = distiller.fit(
            _seen(run, epoch, part, teacher, below),
            part.labels,
            batch_size=run.batch_size,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            verbose=0,
        )
        latest = {name: values[0] for name, values in fitted.history.items()}
        if not math.isfinite(latest["loss"]):
            raise TrainingError(
                f"{run.label}: the loss is {latest['loss']} after epoch {epoch + 1}; "
                "a lower learning_rate may help"
            )
        latest["seconds"] = time.perf_counter() - started
        if trained is not student:
            put_back(trained, student)
        if dataset.validation is not None:
            held_out = dataset.validation
            logits = predict(student, held_out.images, _at_a_time(held_out))
            scores = _scores(logits, dataset, held_out)
            names = [name for name in ("accuracy", "nll", "roc_auc") if name in scores]
            latest |= {f"val_{name}": scores[name] for name in names}
        for name, value in latest.items():
            history.setdefault(name, []).append(float(f"{value:.6g}"))
        if workspace is not None and run.keeps_snapshots:
            save_weights(student, snapshot_path(workspace, epoch + 1))
        if epoch + 1 < run.epochs:
            state.keep(history)
        if on_epoch is not None:
            on_epoch(epoch + 1, latest)
    return assess(run, student, dataset, history, teacher and teacher[0]), student


def _initial(run: Run, initial: keras.Model | None) -> keras.Model:
    """The network of a run before its training."""
    student = models.build(run.model, run.seed)
    if initial is not None:
        transfer(initial, student)
    elif run.weights:
        load_imagenet(student)
    return with_fixed_statistics(student) if run.pretrained else student


def shares_of_annotators(run: Run, part: data.Part) -> Outputs:
    """What annotators say of images, in the place of a teacher: the same of every view.

    Raises:
        TrainingError: The images have no votes.
    """
    try:
        return Outputs(part.ids, {"votes": votes.shares(part)})
    except ValueError as error:
        raise TrainingError(f"{run.label}: {error}") from None


def in_all_views(run: Run, part: data.Part) -> Iterator[data.Part]:
    """The images of a part in each of a run's views, in turn."""
    return (replace(part, images=view(part.images)) for view in views.of(run.views))


def _balanced(labels: np.ndarray, classes: int) -> np.ndarray:
    """Weights `(classes,)` under which each class counts as much as the others, 1 in mean."""
    counts = np.bincount(labels, minlength=classes)
    there = counts > 0
    return np.where(there, len(labels) / there.sum() / np.maximum(counts, 1), 0).astype("float32")


def _at_a_time(part: data.Part) -> int:
    """Images to predict at a time, so that those of any size fit into memory."""
    return max(1, min(PREDICTION_BATCH, PREDICTED_PIXELS // math.prod(part.images.shape[1:3])))


def _learning_rate(run: Run, steps: int):
    if run.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(run.learning_rate, steps * run.epochs)
    return run.learning_rate


def _seen(
    run: Run,
    epoch: int,
    part: data.Part,
    teacher: Sequence[Outputs] | None,
    below: Sequence[Outputs] | None,
) -> dict:
    """Draw a view of every image, with what the teacher says of that very view.

    Where layers are frozen, what they make of the view takes its place.
    """
    available = views.of(run.views)
    drawn = np.random.default_rng([run.seed, epoch, 1]).integers(len(available), size=len(part))
    images, taught = None, {}
    for number, view in enumerate(available):
        rows = drawn == number
        if run.frozen is None:
            shown = view(part.images[rows])
        else:
            shown = below[number].of(part.ids[rows])[run.frozen]
        if images is None:
            images = np.empty((len(part), *shown.shape[1:]), shown.dtype)
        images[rows] = shown
        if teacher is not None:
            for tap, values in teacher[number].of(part.ids[rows]).items():
                shape = (len(part), *values.shape[1:])
                taught.setdefault(tap, np.empty(shape, values.dtype))[rows] = values
    return {"images": images} | ({"teacher": taught} if taught else {})


def assess(
    run: Run,
    model: keras.Model,
    dataset: data.Dataset,
    history: dict[str, list[float]],
    teacher: Outputs | None = None,
    prefix_of: str | None = None,
) -> Record:
    """Score a trained model and make its record.

    Args:
        run: What was trained.
        model: The result.
        dataset: The run's data, as split for it.
        history: One number an epoch, by name.
        teacher: Outputs of the run's teacher on the unchanged training images, where it has one.
        prefix_of: Key of the longer run that the model is a snapshot of.
    """
    part = "test" if dataset.validation is None else "validation"
    judged = getattr(dataset, part)
    speaking = tapped(model, ("logits",))
    logits, of_train = (
        said.values["logits"] for said in said_by(speaking, [judged, dataset.train])
    )
    offsets = (logits.argmax(axis=1) - judged.labels.astype("int64")) % logits.shape[1]
    predictions = {
        "offsets": pack(offsets),
        "confidences": pack(np.rint(softmax(logits, axis=1).max(axis=1) * 255)),
    }
    if dataset.positive is not None:
        predictions["scores"] = pack_scores(binary.scores(logits, dataset.positive))
        predictions["labels"] = pack(judged.labels)
    if judged.groups is not None:
        predictions["groups"] = pack(np.unique(judged.groups, return_inverse=True)[1])
    return Record(
        run=run,
        data_fingerprint=dataset.fingerprint,
        backend=keras.backend.backend(),
        precision=keras.config.dtype_policy().name,
        part=part,
        metrics=_rounded(_scores(logits, dataset, judged)),
        train=_rounded(_training_scores(of_train, dataset.train, teacher)),
        history=history,
        predictions=predictions,
        parameters=model.count_params(),
        seconds=round(sum(history["seconds"]), 1),
        versions=provenance.versions(),
        machine=provenance.machine(),
        code=provenance.code_digest(run),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        prefix_of=prefix_of,
    )


def _scores(logits: np.ndarray, dataset: data.Dataset, part: data.Part) -> dict:
    """Score a part of the data, with the metrics of two classes where one is positive."""
    scores = metrics.classification_metrics(logits, part.labels)
    if dataset.positive is not None:
        positive = part.labels == dataset.positive
        # Its Brier score is half of the one that stays, which is over both classes.
        scores = binary.binary_metrics(binary.scores(logits, dataset.positive), positive) | scores
    return scores


def _training_scores(logits: np.ndarray, part: data.Part, teacher: Outputs | None) -> dict:
    scores = metrics.classification_metrics(logits, part.labels)
    scores = {name: scores[name] for name in ("accuracy", "nll", "entropy")}
    taught = teacher and teacher.of(part.ids).get("logits")
    # A teacher of other classes, such as known subclasses, cannot be compared by class.
    if taught is not None and taught.shape == logits.shape:
        agreement = taught.argmax(axis=1) == logits.argmax(axis=1)
        scores["teacher_kl"] = metrics.kullback_leibler(taught, logits)
        scores["teacher_agreement"] = float(agreement.mean())
    return scores


def _rounded(scores: dict) -> dict:
    return {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in scores.items()}


def snapshot_path(workspace: Path, epoch: int) -> Path:
    """Where the weights after an epoch (from 1) are kept."""
    return workspace / f"epoch-{epoch:03d}.npz"


def save_weights(model: keras.Model, path: Path) -> None:
    """Write a model's weights, by path of the weight, atomically."""
    weights = {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}
    with replaced_atomically(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **weights)


def load_weights(model: keras.Model, path: Path) -> None:
    """Read weights that `save_weights` wrote into a model of the same network."""
    with np.load(path, allow_pickle=False) as stored:
        for weight in model.weights:
            weight.assign(stored[weight.path])


class TrainingState:
    """All that a training has to remember between two epochs, in one file.

    Args:
        distiller: What is being trained, with its optimiser built.
        code: Digest of the code that trains; what other code has kept is not used.
        path: The file; `None` remembers nothing.
    """

    def __init__(self, distiller: Distiller, code: str, path: Path | None):
        self.distiller = distiller
        self.code = code
        self.path = path

    def _variables(self):
        return [*self.distiller.variables, *self.distiller.optimizer.variables]

    def keep(self, history: dict[str, list[float]]) -> None:
        """Write weights, optimiser, random state and history, atomically."""
        if self.path is None:
            return
        values = [keras.ops.convert_to_numpy(variable) for variable in self._variables()]
        with replaced_atomically(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, *values, history=json.dumps(history), code=self.code)

    def restore(self) -> dict[str, list[float]]:
        """Go back to what was kept, and return its history; empty where there is nothing to use."""
        if self.path is None or not self.path.exists():
            return {}
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                values = [stored[f"arr_{i}"] for i in range(len(self._variables()))]
                history = json.loads(str(stored["history"]))
                code = str(stored["code"])
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
            return {}
        if code != self.code:
            return {}
        for variable, value in zip(self._variables(), values, strict=True):
            variable.assign(value)
        return history
