"""How well a network does by another of its heads than the one it is used with."""

from collections.abc import Sequence

from kdutils import data, metrics, training
from kdutils.ledger import Ledger
from kdutils.runs import Run


def scores(ledger: Ledger, runs: Sequence[Run], tap: str) -> dict:
    """Score a layer of logits on the test images; see `Ledger.analyse`.

    Args:
        ledger: Where the model is.
        runs: Of one network that has the layer.
        tap: The layer's name.

    Returns:
        See `kdutils.metrics.classification_metrics`.
    """
    (run,) = runs
    test = data.load(run.data).test
    logits = training.outputs(ledger.model(run), test, (tap,)).values[tap]
    return metrics.classification_metrics(logits, test.labels)
