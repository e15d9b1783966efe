"""Task 2's runs, which its questions share: one protocol, two networks, training in two phases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kdutils.data import tracks
from kdutils.runs import Run

TEACHER, STUDENT = "resnet50v2", "mobilenetv2"
RATES = {TEACHER: 1e-4, STUDENT: 1e-3}
"""Adam's learning rates, as assigned."""
SLOWER = 0.1
"""Of these rates while the base is fine-tuned, as assigned."""
SETTLING = "cosine"
"""How the rate falls where batch normalisation is trained. Its stored statistics are those of the
last few steps; while the weights still move as fast as ever these do not fit them, and the accuracy
on held-out tiles jumps from one epoch to the next."""
HEAD = "avg_pool"
"""The cut below which nothing is trained while the head is: all of the base."""

CUTS = {TEACHER: "conv4_block6_out", STUDENT: "block_12_add"}


@dataclass(frozen=True)
class Settings:
    """What is chosen on held-out images, see `kdutils.choices`; the defaults are common values.

    Args:
        cuts: By network, up to where its base stays frozen in fine-tuning.
        temperature: Of the soft targets.
        alpha: Weight of the distillation term.
    """

    cuts: Mapping[str, str] = field(default_factory=lambda: dict(CUTS))
    temperature: float = 4.0
    alpha: float = 0.5


@dataclass(frozen=True)
class Protocol:
    """What all trainings of Task 2 have in common; the defaults are the assignment's.

    Args:
        track: A name in `kdutils.data.tracks.TRACKS`.
        fold: A fold of the track, see `kdutils.data.tracks.folds`.
        size: Height and width of the tiles, pixels.
        initial: `"imagenet"`, `"tissue"` (the source task of the track) or `"random"`, of teacher
            and student.
        head_epochs: Epochs with a frozen base.
        fine_epochs: Epochs of fine-tuning after them.
        source_epochs: Epochs on the source task.
        batch_size: Images a step.
        train_size: Training images; `None` takes all.
        source_size: Training images of the source task; `None` takes all.
        validation: See `kdutils.data.tracks.held_out`; `None` trains on all images, to be tested.
        views: Of the training images, see `kdutils.data.views`, on the source task too.
    """

    track: str
    fold: int | None
    size: int
    initial: str = "tissue"
    head_epochs: int = 10
    fine_epochs: int = 25
    source_epochs: int = 10
    batch_size: int = 32
    train_size: int | None = None
    source_size: int | None = None
    validation: int | None = None
    views: str = "turns"

    def __post_init__(self):
        known = ("imagenet", "tissue", "random")
        if self.initial not in known:
            raise ValueError(f"no initialisation {self.initial!r}; there are {', '.join(known)}")
        if self.initial == "tissue" and tracks.source(self.track) is None:
            raise ValueError(
                f"the track {self.track} has no source task, so nothing of it can start from "
                "tissue; choose imagenet or random"
            )

    def choosing(self) -> "Protocol":
        """The same trainings beside held-out images, to choose on."""
        return replace(self, validation=tracks.held_out(self.track))

    def teacher(self, seed: int, settings: Settings, initial: str | None = None) -> Run:
        """The teacher; `initial` takes the place of the protocol's initialisation."""
        return self.trained(TEACHER, seed, settings.cuts[TEACHER], initial)

    def student(self, seed: int, settings: Settings, initial: str | None = None) -> Run:
        """The student, trained on labels alone; `initial` as for `teacher`."""
        return self.trained(STUDENT, seed, settings.cuts[STUDENT], initial)

    def distilled(
        self,
        seed: int,
        settings: Settings,
        initial: str | None = None,
        teacher: Run | None = None,
    ) -> Run:
        """The same student, taught by a teacher: by default the one of the same seed.

        `initial` is the student's; the teacher starts from the protocol's initialisation.
        """
        return self.trained(
            STUDENT,
            seed,
            settings.cuts[STUDENT],
            initial,
            method="kd",
            options={"temperature": settings.temperature, "alpha": settings.alpha},
            teacher=teacher or self.teacher(seed, settings),
        )

    def trained(
        self, network: str, seed: int, cut: str, initial: str | None = None, **taught
    ) -> Run:
        """A network trained as assigned: first the head alone, then the base above a cut with it.

        One that starts from random weights has no base worth freezing: it is trained as a whole,
        for as many epochs, from the first of the two rates down to zero along half a cosine.

        Args:
            network: `TEACHER`, `STUDENT`, or one of these with subclasses.
            seed: Of both phases.
            cut: Up to where the base stays frozen in fine-tuning, see `kdutils.models.cuts`.
            initial: In place of the protocol's.
            taught: `method`, `options` and `teacher` of both phases.
        """
        if initial is not None:
            return replace(self, initial=initial).trained(network, seed, cut, **taught)
        rate = RATES[network.partition("_")[0]]
        run = Run(
            network,
            data=self.track,
            fold=self.fold,
            size=self.size,
            class_weight="balanced",
            views=self.views,
            validation=self.validation,
            train_size=self.train_size,
            epochs=self.head_epochs,
            batch_size=self.batch_size,
            learning_rate=rate,
            seed=seed,
            **taught,
        )
        if self.initial == "random":
            epochs = self.head_epochs + self.fine_epochs
            return replace(run, epochs=epochs, schedule=SETTLING)
        if self.initial == "imagenet":
            start = {"weights": "imagenet"}
        else:
            start = {"init": self.source(network.partition("_")[0])}
        head = replace(run, frozen=HEAD, **start)
        return replace(
            head,
            init=head,
            weights=None,
            frozen=cut,
            epochs=self.fine_epochs,
            learning_rate=SLOWER * rate,
        )

    def source(self, network: str) -> Run:
        """The base of a network, trained on the source task of the track.

        One for all seeds that start from it: on slides that are neither tested nor held out to
        choose on.
        """
        return Run(
            f"{network}_6",
            data=tracks.source(self.track),
            fold=self.fold,
            size=self.size,
            class_weight="balanced",
            views=self.views,
            validation=tracks.held_out(self.track),
            train_size=self.source_size,
            epochs=self.source_epochs,
            batch_size=self.batch_size,
            schedule=SETTLING,
        )


def protocols(track: str, folds: Sequence[int], **common) -> list[Protocol]:
    """One protocol for each fold; a track without folds has one, whatever folds are asked for.

    Args:
        track: A name in `kdutils.data.tracks.TRACKS`, or "auto".
        folds: Numbers of folds.
        common: Further arguments of `Protocol`. Sizes of 0 take all images. `initial` may also be
            "auto", for tissue where the track has a source task and ImageNet where it has none.
    """
    name = tracks.resolve(track)
    if common.get("initial") == "auto":
        common["initial"] = "tissue" if tracks.source(name) else "imagenet"
    for size in ("train_size", "source_size"):
        common[size] = common.get(size) or None
    known = tracks.folds(name)
    return [Protocol(name, fold, **common) for fold in (known if None in known else folds)]


def in_all_phases(run: Run, **changes) -> Run:
    """The same training with fields changed in each of its phases, one or two.

    Args:
        run: A training on the track; what its base was trained on stays as it is.
        changes: Fields of `kdutils.runs.Run`, `data` or others.
    """
    if run.init is not None and run.init.data == run.data:
        changes["init"] = replace(run.init, **changes)
    return replace(run, **changes)


def on_random_tiles(run: Run) -> Run:
    """The same training on Kather's tiles dealt at random, see `kdutils.data.kather_tiles`."""
    return in_all_phases(run, data="kather_tiles")


def with_early_stopped(student: Run, teacher_epochs: int, stop_epoch: int) -> Run:
    """A distilled student as Cho & Hariharan (2019) train it: by less of a teacher, or for less.

    Args:
        student: Of both phases, distilled in both.
        teacher_epochs: Epochs of fine-tuning of its teacher; 0 leaves the first phase alone.
        stop_epoch: Epoch of fine-tuning, from 0, at which distillation stops; the last keeps it to
            the end.

    Raises:
        ValueError: The student has no first phase, as one that starts from random weights.
    """
    if student.init is None or student.init.method != "kd":
        raise ValueError(f"{student.label}: it has no two phases that are both distilled")
    teacher = student.teacher
    teacher = teacher.init if teacher_epochs == 0 else teacher.shorter(teacher_epochs)
    run = replace(student, teacher=teacher, init=replace(student.init, teacher=teacher))
    if stop_epoch >= run.epochs:
        return run
    if stop_epoch == 0:
        return replace(run, method=None, options={}, teacher=None)
    options = {**run.options, "stop_epoch": stop_epoch}
    return replace(run, method="early_stopped_kd", options=options)
