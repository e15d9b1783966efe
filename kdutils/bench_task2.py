"""Task 2's bench: what is left of distillation with two classes, each method at fixed settings.

With two logits a softened answer is one number an image, so these methods look elsewhere: at
features, at how features are related, or at subclasses. Their settings come from their papers and
the authors' code, and none is tuned; the plain student and plain distillation beside them use no
tuned temperature or balance either.

Methods that compare features act in fine-tuning alone: while the base is frozen, no loss on its
features changes anything. Their first phase is the plain student's.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from kdutils import data
from kdutils.runs import Run
from kdutils.task2 import STUDENT, TEACHER, Protocol, Settings, in_all_phases

SUBCLASSES = "2x5"
HINT_EPOCHS = 5
SOFT = {"temperature": 4.0, "alpha": 0.5}


def _plain(protocol: Protocol, seed: int, settings: Settings) -> Run:
    return protocol.student(seed, settings)


def _smoothed(protocol, seed, settings):
    cut = settings.cuts[STUDENT]
    options = {"smoothing": 0.1}
    return protocol.trained(STUDENT, seed, cut, method="label_smoothing", options=options)


def _distilled(protocol, seed, settings):
    return protocol.distilled(seed, replace(settings, **SOFT))


def _on_features(method: str, **options) -> Callable[[Protocol, int, Settings], Run]:
    def student(protocol, seed, settings):
        teacher = protocol.teacher(seed, settings)
        plain = protocol.student(seed, settings)
        return replace(plain, method=method, options=options, teacher=teacher)

    return student


def _hinted(protocol, seed, settings):
    student = _on_features("hints")(protocol, seed, settings)
    hints = replace(student, epochs=min(HINT_EPOCHS, student.epochs))
    options = {"temperature": 3.0, "first_weight": 4.0, "last_weight": 1.0}
    options["epochs"] = student.epochs
    return replace(student, method="hinted_kd", options=options, init=hints)


def _subclasses(protocol, seed, settings):
    teacher = protocol.trained(
        f"{TEACHER}_{SUBCLASSES}",
        seed,
        settings.cuts[TEACHER],
        method="subclass_teaching",
        options={"beta": 0.1, "temperature": 1.0},
    )
    taught = {"method": "subclass", "options": SOFT, "teacher": teacher}
    return protocol.trained(f"{STUDENT}_{SUBCLASSES}", seed, settings.cuts[STUDENT], **taught)


def _known_subclasses(protocol, seed, settings):
    of_four = {"model": f"{TEACHER}_4", "data": f"{protocol.track}_votes"}
    teacher = in_all_phases(protocol.teacher(seed, settings), **of_four)
    taught = {"method": "known_subclass", "options": SOFT, "teacher": teacher}
    return protocol.trained(f"{STUDENT}_2x2", seed, settings.cuts[STUDENT], **taught)


def _voted(protocol, seed, settings):
    cut = settings.cuts[STUDENT]
    return protocol.trained(STUDENT, seed, cut, method="votes", options={"alpha": SOFT["alpha"]})


BENCH: dict[str, Callable[[Protocol, int, Settings], Run]] = {
    "no KD": _plain,
    "label smoothing": _smoothed,
    "KD": _distilled,
    "subclass": _subclasses,
    "relational (RKD)": _on_features(
        "relational",
        distance_weight=10.0,
        angle_weight=20.0,
        angle_samples=32.0,
        soft_weight=0.0,
        temperature=4.0,
    ),
    "FitNets": _hinted,
    "contrastive (CRD)": _on_features(
        "contrast_with_memory",
        negatives=512.0,
        momentum=0.5,
        width=128.0,
        contrast_temperature=0.1,
        contrast_weight=0.8,
        soft_weight=0.0,
        temperature=4.0,
    ),
}
"""By the name on the page: `student(protocol, seed, settings)` with all that it rests on."""

WITH_VOTES: dict[str, Callable[[Protocol, int, Settings], Run]] = {
    "known subclasses (SKD)": _known_subclasses,
    "votes": _voted,
}
"""Likewise, on tracks whose tiles several annotators judged: `mhist` and `synthetic`."""


def entries(
    track: str, names: Sequence[str] = ()
) -> dict[str, Callable[[Protocol, int, Settings], Run]]:
    """The bench of a track, see `kdutils.data.tracks`: with votes only where there are any.

    Args:
        track: Name of the track.
        names: Which of its entries; by default all.

    Raises:
        ValueError: The track has no entry of such a name.
    """
    known = BENCH | (WITH_VOTES if f"{track}_votes" in data.DATASETS else {})
    if unknown := [name for name in names if name not in known]:
        raise ValueError(
            f"no method {', '.join(map(repr, unknown))} on {track}; there are {', '.join(known)}"
        )
    return {name: known[name] for name in names or known}
