"""How a model judges tiles however they lie: tissue has no upside, so its view should not matter.

Averaged over the views are log-odds, not probabilities: that is the scale on which scores are
recorded and ranked, and it does not saturate, so a sure view counts for more than an unsure one
and tiles of which all views are sure keep their order. Nor is the mean biased: the log-odds of the
other class are averaged alike. The cross-entropy of the mean is at most the mean of those of the
views, as it is convex in the log-odds.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kdutils import binary, training
from kdutils.data import views
from kdutils.ledger import Ledger
from kdutils.models.taps import tapped
from kdutils.runs import Run

VIEWS = "turns"


def eight_view_scores(ledger: Ledger, runs: Sequence[Run]) -> dict[str, list]:
    """Score the test tiles in each of the eight ways to lay them; see `Ledger.analyse`.

    Args:
        ledger: Where the models are.
        runs: Of one data set, fold and size.

    Returns:
        `labels`, 1 for the positive class, `(N,)`; and `models`, for each run a dictionary of
        log-odds of the positive class: `identity`, of the tiles as they are, and `mean`, over the
        views, each `(N,)`; `deviation`, the mean over the tiles of the standard deviation over the
        views; and `changed`, the share of tiles that at the threshold 0 are called positive in some
        views and not in others.
    """
    dataset = training.load_data(runs[0])
    scored = []
    for run in runs:
        speaking = tapped(ledger.model(run), ("logits",))
        shown = (view(dataset.test.images) for view in views.of(VIEWS))
        parts = [replace(dataset.test, images=images) for images in shown]
        of_views = np.array(
            [
                binary.scores(said.values["logits"], dataset.positive)
                for said in training.said_by(speaking, parts)
            ]
        )
        called = of_views > 0
        scored.append(
            {
                "identity": _short(of_views[0]),
                "mean": _short(of_views.mean(axis=0)),
                "deviation": of_views.std(axis=0).mean(),
                "changed": (called.any(axis=0) & ~called.all(axis=0)).mean(),
            }
        )
    return {"labels": (dataset.test.labels == dataset.positive).astype(int), "models": scored}


def _short(scores):
    return [float(f"{score:.5g}") for score in scores]
