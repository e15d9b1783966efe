"""The tracks of Task 2: what its pages train and test on, whichever of them is there.

MHIST is given out to each user personally. Where it is not, the same pages show open tissue; and
where that cannot be had either, simulated tiles.
"""

import logging

from kdutils import data
from kdutils.data import mhist

TRACKS = ("mhist", "kather", "synthetic")
"""Names of data sets, the most wanted first."""

HELD_OUT = {"mhist": 435, "kather": 1, "synthetic": 435}  # of 2,175 images a fifth; one slide
SOURCES = {"kather": "kather_source", "synthetic": "synthetic_source"}

SIMULATED = (
    "Simulated tiles: the images of this page were drawn by a program, and its numbers say nothing "
    "about tissue. They show that everything runs. See the page on reproducing this report for how "
    "to supply tissue."
)

logger = logging.getLogger(__name__)


def resolve(name: str) -> str:
    """Returns the track that a name means; nothing is fetched.

    Args:
        name: One of `TRACKS`, which is returned as it is; or "auto", for the first that is there.

    Raises:
        ValueError: If there is no such track.
    """
    if name == "auto":
        states = {track: rest for track, *rest in data.status()}
        for track in TRACKS[:-1]:
            state, detail = states[track]
            if state == "found":
                return track
            if state == "refused":  # what a user supplied is not passed over in silence
                logger.warning("%s is not used: %s", track, detail)
        return TRACKS[-1]  # drawn, so always there
    return _known(name)


def folds(name: str) -> tuple[int, ...] | tuple[None]:
    """Returns the folds to test a track on: their numbers, or None for its one test part."""
    return data.folds(_known(name))


def held_out(name: str) -> int:
    """Returns the `validation` of `kdutils.data.load` to make a track's choices on."""
    return HELD_OUT[_known(name)]


def source(name: str) -> str | None:
    """Returns the data set to pre-train a track's models on, or None where it has none."""
    return SOURCES.get(_known(name))


def banner(name: str) -> str | None:
    """Returns what a page has to say above a track's results, or None if there is nothing.

    A user's own folder that holds simulated tiles, in the place of MHIST, gets the same words.
    """
    simulated = _known(name) == "synthetic" or (
        name == "mhist" and mhist.status()[0] == "found" and mhist.is_simulated(mhist.find())
    )
    return SIMULATED if simulated else None


def _known(name):
    if name not in TRACKS:
        raise ValueError(f"There is no track {name!r}. Known: auto, {', '.join(TRACKS)}.")
    return name
