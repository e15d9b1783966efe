"""Run: one training as data. Record: what came of it."""

import base64
import functools
import hashlib
import json
import math
import operator
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

import numpy as np

from kdutils import data, methods, models
from kdutils.data.views import VIEWS

SNAPSHOT_EPOCHS = 30


def digest(content) -> str:
    """Short content hash, 16 hexadecimal digits, of anything JSON can hold."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Run:
    """One training of one model: everything that decides its outcome, and nothing else.

    A field left at `None` is not part of the stored form, so a field that is added later, with
    `None` as its default, leaves the keys of all earlier records as they are.

    Args:
        model: A name in `kdutils.models.NETWORKS`.
        data: A name in `kdutils.data`.
        method: A name in `kdutils.methods.METHODS`; `None` trains on labels alone.
        options: The method's options, all of them.
        teacher: The run the student learns from; given exactly when the method uses one.
        init: The run whose weights training starts from; `None` starts from the seed.
        validation: Training images held out, stratified, to choose on. A run that holds out
            validation images is scored on them and never on the test part.
        train_size: Size of a stratified subset of the remaining training part; `None` takes all.
        classes: Labels of the training images that are used, ascending; `None` takes all. They are
            picked from the subset of `train_size`, which then has fewer.
        fold: The part of a data set with folds that is tested, see `kdutils.data.load`.
        size: Height and width that images are resized to, pixels; `None` takes them as they are.
        weights: `"imagenet"` starts from the weights that Keras publishes for the network's base;
            `None`, with no `init`, from the seed.
        frozen: A layer of `kdutils.models.cuts`: it and all below stay as they are, and the layers
            above are trained; `None` trains all.
        class_weight: `"balanced"` weighs each image by the inverse of its class's share; `None`
            weighs all alike.
        views: A name in `kdutils.data.views.VIEWS`: changed copies of the training images, of which
            each epoch draws one an image; `None` trains on the images as they are.
        epochs: Passes over the training images.
        batch_size: Images a step; the last partial batch of an epoch is dropped.
        learning_rate: Adam's, at the start.
        schedule: `"cosine"` lowers the learning rate to zero over the whole training, along half a
            cosine; `None` keeps it.
        seed: Decides initial weights, batch order and dropout.

    Raises:
        ValueError: A setting that cannot be trained, or that would leak validation images.
    """

    model: str
    data: str = "mnist"
    method: str | None = None
    options: Mapping[str, float] = field(default_factory=dict)
    teacher: "Run | None" = None
    init: "Run | None" = None
    validation: int | None = None
    train_size: int | None = None
    classes: tuple[int, ...] | None = None
    fold: int | None = None
    size: int | None = None
    weights: str | None = None
    frozen: str | None = None
    class_weight: str | None = None
    views: str | None = None
    epochs: int = 12
    batch_size: int = 256
    learning_rate: float = 1e-3
    schedule: str | None = None
    seed: int = 0

    def __post_init__(self):
        if self.model not in models.NETWORKS:
            raise ValueError(f"no network {self.model!r}; there are {', '.join(models.NETWORKS)}")
        # 4 and 4.0 are one run, and have to get one key.
        options = {k: float(v) if type(v) is int else v for k, v in self.options.items()}
        object.__setattr__(self, "options", options)
        object.__setattr__(self, "learning_rate", float(self.learning_rate))
        for name, value in {**options, "learning_rate": self.learning_rate}.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{self.label}: {name} has to be finite, not {value}")
        methods.build(self.method, self.options)
        if bool(methods.METHODS[self.method].teacher_taps) != (self.teacher is not None):
            need = "takes no teacher" if self.teacher else "needs a teacher"
            raise ValueError(f"{self.label}: training by {self.method or 'labels alone'} {need}")
        self._check_images()
        self._check_start()
        for name, known in {"schedule": "cosine", "class_weight": "balanced"}.items():
            if getattr(self, name) not in (None, known):
                raise ValueError(
                    f"{self.label}: no {name} {getattr(self, name)!r}; there is {known}"
                )
        lowest = {"epochs": 1, "batch_size": 1, "seed": 0}
        lowest |= {"validation": 1, "train_size": 1, "fold": 0, "size": 1}
        for name, least in lowest.items():
            value = getattr(self, name)
            if value is None and name in ("validation", "train_size", "fold", "size"):
                continue
            try:
                object.__setattr__(self, name, operator.index(value))
            except TypeError:
                raise ValueError(f"{name} has to be a whole number, not {value!r}") from None
            if value < least:
                raise ValueError(f"{self.label}: {name} has to be at least {least}, not {value}")
        if not self.learning_rate > 0:
            raise ValueError(f"{self.label}: learning_rate has to be above 0")
        for source in filter(None, (self.teacher, self.init)):
            alike = source.data == self.data or data.base(source.data) == data.base(self.data)
            if source.fold != self.fold:
                raise ValueError(
                    f"{self.label}: {source.label} leaves out fold {source.fold}, so it may have "
                    f"trained on what fold {self.fold} tests; give it the same fold"
                )
            shared = data.share_images(source.data, self.data)
            if self.validation and shared and not (alike and source.validation == self.validation):
                raise ValueError(
                    f"{self.label}: {source.label} has trained on the images held out for "
                    f"validation; it has to hold out the same {self.validation} of {self.data}"
                )

    def _check_start(self):
        if self.teacher and self.teacher.size != self.size:
            raise ValueError(
                f"{self.label}: its teacher has seen images of {self.teacher.size or 'native'} "
                f"pixels and would be shown these of {self.size or 'native'}; train both alike"
            )
        if self.weights not in (None, "imagenet"):
            raise ValueError(f"{self.label}: no weights {self.weights!r}; there is imagenet")
        if self.weights and (self.init or not models.cuts(self.model)):
            why = "it starts from another run" if self.init else f"Keras has none of {self.model}"
            raise ValueError(f"{self.label}: weights={self.weights!r} is of no use, as {why}")
        if self.frozen is None:
            return
        if self.frozen not in models.cuts(self.model):
            known = ", ".join(models.cuts(self.model)) or "none"
            raise ValueError(
                f"{self.label}: {self.model} cannot be frozen up to {self.frozen!r}; "
                f"its cuts: {known}"
            )
        if not (self.init or self.weights):
            raise ValueError(
                f"{self.label}: layers are frozen that nothing has trained; give init or weights"
            )

    def _check_images(self):
        if self.data in data.DATASETS and self.fold not in data.folds(self.data):
            known = ", ".join(map(str, data.folds(self.data)))
            raise ValueError(
                f"{self.label}: {self.data} has no fold {self.fold!r}; there is {known}"
            )
        if self.views not in VIEWS:
            known = ", ".join(filter(None, VIEWS))
            raise ValueError(f"{self.label}: no views {self.views!r}; there are {known}")
        if self.classes is not None:
            try:
                classes = tuple(operator.index(label) for label in self.classes)
            except TypeError:
                raise ValueError(
                    f"{self.label}: classes has to list labels, not {self.classes!r}"
                ) from None
            object.__setattr__(self, "classes", classes)
            if not self.classes or list(self.classes) != sorted(set(self.classes)):
                raise ValueError(
                    f"{self.label}: classes has to list labels once, ascending, "
                    f"not {list(self.classes)}"
                )

    def __hash__(self):
        return hash(digest(self.to_json()))

    @property
    def label(self) -> str:
        """The run in a few words, for progress lines and messages."""
        name = self.model.removeprefix(f"{self.data}_")
        settings = ", ".join(f"{option} {value:g}" for option, value in self.options.items())
        words = [
            name,
            f"{self.method} ({settings})" if self.method else "",
            f"fold {self.fold}" if self.fold is not None else "",
            f"{self.size} px" if self.size else "",
            self.weights,
            f"weights from {self._origin}" if self.init else "",
            f"frozen up to {self.frozen}" if self.frozen else "",
            self.class_weight,
            self.views,
            f"only {self.classes}" if self.classes else "",
            f"{self.train_size} images" if self.train_size else "",
            _counted(self.epochs, "epoch") if self.epochs != 12 else "",
            f"batches of {self.batch_size}" if self.batch_size != 256 else "",
            f"rate {self.learning_rate:g}" if self.learning_rate != 1e-3 else "",
            self.schedule,
            f"teacher of {_counted(self.teacher.epochs, 'epoch')}"
            if self.teacher and self.teacher.epochs != self.epochs
            else "",
            f"seed {self.seed}",
        ]
        return " · ".join(filter(None, words))

    @property
    def _origin(self) -> str:
        """What the first of the runs was trained on from which this one has its weights."""
        first = self
        while first.init:
            first = first.init
        return first.weights or first.data

    @property
    def keeps_snapshots(self) -> bool:
        """Whether the weights of every epoch are kept, so that shorter runs cost nothing.

        True of MNIST teachers, which are studied by epoch; their learning rate is constant, so the
        first epochs of a long training are exactly the short one. Not of those that repeat a few
        images for hundreds of epochs, at 4 MB each.
        """
        return (
            self.model == "mnist_teacher"
            and self.method is None
            and self.schedule is None
            and self.epochs <= SNAPSHOT_EPOCHS
        )

    @property
    def pretrained(self) -> bool:
        """Whether training starts from what another training has learnt."""
        return bool(self.init or self.weights)

    def to_json(self) -> dict:
        """Give the run in its stored form, without the fields that are `None`."""
        content = {each.name: getattr(self, each.name) for each in fields(self)}
        content["options"] = dict(self.options) or None
        content["classes"] = self.classes and list(self.classes)
        for name in ("teacher", "init"):
            content[name] = content[name] and content[name].to_json()
        return {name: value for name, value in content.items() if value is not None}

    @classmethod
    def from_json(cls, content: dict) -> "Run":
        """Rebuild a run from its stored form."""
        content = dict(content)
        for name in ("teacher", "init"):
            if name in content:
                content[name] = cls.from_json(content[name])
        return cls(**content)

    def shorter(self, epochs: int) -> "Run":
        """The same run, stopped after fewer epochs."""
        return replace(self, epochs=epochs)


@dataclass(frozen=True)
class Record:
    """What a run gave: small enough to commit, rich enough to test on.

    Args:
        run: The configuration.
        data_fingerprint: Of the data set, see `kdutils.data.fingerprint`.
        backend: Keras' backend.
        precision: Keras' dtype policy.
        part: What `metrics` and `predictions` speak of, `"test"` or `"validation"`.
        metrics: See `kdutils.metrics.classification_metrics`.
        train: The same, in brief, on the training images; with a teacher also `teacher_kl` (nats,
            at temperature 1) and `teacher_agreement` (fraction).
        history: One number an epoch for every loss term and metric, and `seconds`.
        predictions: For each image of the part, packed: `offsets` and `confidences`; with two
            classes of which one is positive, `scores` and `labels`; where images belong together,
            `groups`.
        parameters: Of the model.
        seconds: Training time: of the epochs, without what teacher and frozen layers took.
        versions: Of what computed it.
        machine: Where.
        code: Digest of the modules that decide the outcome, see `kdutils.provenance`.
        finished: ISO date and time, UTC.
        prefix_of: Key of the longer run whose snapshot this is.
        study: The file of records it belongs to.
        stale: Whether those modules have changed since.
    """

    run: Run
    data_fingerprint: str
    backend: str
    precision: str
    part: str
    metrics: dict
    train: dict
    history: dict
    predictions: dict
    parameters: int
    seconds: float
    versions: dict
    machine: dict
    code: str
    finished: str
    prefix_of: str | None = None
    study: str = ""
    stale: bool = field(default=False, compare=False)

    @functools.cached_property
    def key(self) -> str:
        """What the ledger knows this record by."""
        return key(self.run, self.data_fingerprint, self.backend, self.precision)

    @functools.cached_property
    def offsets(self) -> np.ndarray:
        """`(N,)` predicted class minus true class, modulo the number of classes: 0 is correct."""
        return unpack(self.predictions["offsets"])

    @functools.cached_property
    def confidences(self) -> np.ndarray:
        """`(N,)` probability given to the predicted class, to 1/255."""
        return unpack(self.predictions["confidences"]) / 255

    @functools.cached_property
    def scores(self) -> np.ndarray:
        """`(N,)` log-odds of the positive class, to three digits; of data that have one."""
        return unpack(self.predictions["scores"]).view("float16").astype("float64")

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """`(N,)` true classes, where `scores` are recorded."""
        return unpack(self.predictions["labels"])

    @functools.cached_property
    def groups(self) -> np.ndarray | None:
        """`(N,)` what each image belongs to, such as its slide, from 0 on; `None` if nothing."""
        return unpack(self.predictions["groups"]) if "groups" in self.predictions else None

    def to_json(self) -> dict:
        """Give the record in its stored form."""
        content = {each.name: getattr(self, each.name) for each in fields(self)}
        content["run"] = self.run.to_json()
        del content["stale"], content["study"]
        return content

    @classmethod
    def from_json(cls, content: dict, **more) -> "Record":
        """Rebuild a record from its stored form; `more` are the fields that are not stored."""
        return cls(**{**content, "run": Run.from_json(content["run"])}, **more)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def key(run: Run, data_fingerprint: str, backend: str, precision: str) -> str:
    """Name a run by its content: the same key means the same experiment."""
    return digest(
        {
            "run": run.to_json(),
            "data": data_fingerprint,
            "backend": backend,
            "precision": precision,
        }
    )


def pack(values: np.ndarray) -> str:
    """Store `uint8` values as text: compressed, base 64."""
    return base64.b64encode(zlib.compress(np.asarray(values, "uint8").tobytes(), 9)).decode()


def pack_scores(scores: np.ndarray) -> str:
    """Store log-odds in half precision, three digits of each."""
    largest = np.finfo("float16").max
    return pack(np.clip(scores, -largest, largest).astype("float16").view("uint8"))


def unpack(text: str) -> np.ndarray:
    """Read what `pack` stored."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="uint8")
