"""What Task 2 chooses on held-out images, fold by fold: cuts, temperature and balance.

Each fold chooses alone: the slide that one fold holds out is tested by another, so a choice over
folds would have seen test images.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from kdutils import task2
from kdutils.runs import Record, Run
from kdutils.task2 import STUDENT, TEACHER, Protocol, Settings

CUTS = {
    TEACHER: (task2.CUTS[TEACHER], "conv3_block4_out"),
    STUDENT: (task2.CUTS[STUDENT], "block_5_add"),
}
TEMPERATURES = (1, 2, 4, 16, 32, 64)
ALPHAS = (0.1, 0.5, 0.9)
BALANCE = 0.5
"""The α at which the temperature is chosen, as the temperature curve is asked for at this one."""

Obtain = Callable[[Sequence[Run]], list[Record]]


@dataclass(frozen=True)
class Chosen:
    """What was chosen on one fold, and the records that it was chosen by.

    Args:
        settings: The choice.
        cuts: By network, the record of every cut tried.
        temperatures: The record of every temperature tried.
        alphas: The record of every α tried, at the chosen temperature.
    """

    settings: Settings
    cuts: Mapping[str, Mapping[str, Record]]
    temperatures: Mapping[float, Record]
    alphas: Mapping[float, Record]


def choose(
    protocol: Protocol,
    obtain: Obtain,
    seed: int = 0,
    cuts: Mapping[str, Sequence[str]] = CUTS,
    temperatures: Sequence[float] = TEMPERATURES,
    alphas: Sequence[float] = ALPHAS,
) -> Chosen:
    """Choose one after the other, each by the highest ROC-AUC on the held-out images.

    First how much of either network is fine-tuned; then the temperature, at `BALANCE`; then the
    balance, at that temperature. Equals are decided by the lower negative log-likelihood, then by
    the first.

    Args:
        protocol: Of the fold.
        obtain: Gives the records of runs, such as `kdutils.sweeps.obtain_all` of a ledger.
        seed: Of all of these runs.
        cuts: By network, the cuts to try.
        temperatures: Temperatures to try.
        alphas: Balances to try.
    """
    held_out = protocol.choosing()
    tried, best = {}, {}
    for network, names in cuts.items():
        records = obtain([held_out.trained(network, seed, cut) for cut in names])
        tried[network] = dict(zip(names, records, strict=True))
        best[network] = highest(tried[network])
    settings = Settings(best, alpha=BALANCE)

    def distilled(variants):
        return obtain([held_out.distilled(seed, each) for each in variants])

    variants = [replace(settings, temperature=value) for value in temperatures]
    of_temperature = dict(zip(temperatures, distilled(variants), strict=True))
    settings = replace(settings, temperature=highest(of_temperature))
    variants = [replace(settings, alpha=value) for value in alphas]
    of_alpha = dict(zip(alphas, distilled(variants), strict=True))
    return Chosen(replace(settings, alpha=highest(of_alpha)), tried, of_temperature, of_alpha)


def highest(tried: Mapping) -> object:
    """The value whose record has the highest ROC-AUC on held-out images; see `choose`.

    Args:
        tried: Records by the value that was tried, in order.

    Raises:
        ValueError: A record speaks of test images.
    """
    for value, record in tried.items():
        if record.part != "validation":
            raise ValueError(
                f"the record of {value!r} was scored on the {record.part} part, and choices are "
                "made on held-out images alone; train it with Protocol.choosing()"
            )
    return min(
        tried, key=lambda each: (-tried[each].metrics["roc_auc"], tried[each].metrics["nll"])
    )
