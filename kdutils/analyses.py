"""Analysis: what was measured on trained models, small enough to commit beside their records."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields

from kdutils.runs import digest


@dataclass(frozen=True)
class Analysis:
    """What a function measured on the models of some runs.

    Args:
        function: Its name, `module:function`.
        runs: Keys of the runs whose models it looked at.
        trained: When the training of each of them finished, see `kdutils.runs.Record`.
        parameters: What else it was given.
        values: What it returned.
        seconds: How long it took.
        code: Digest of the function's module, see `kdutils.provenance.module_digest`.
        versions: Of what computed it.
        machine: Where.
        finished: ISO date and time, UTC.
        study: The file of records it belongs to.
        stale: Whether that code, or one of the models, has changed since.
    """

    function: str
    runs: tuple[str, ...]
    trained: tuple[str, ...]
    parameters: dict
    values: dict
    seconds: float
    code: str
    versions: dict
    machine: dict
    finished: str
    study: str = ""
    stale: bool = field(default=False, compare=False)

    @property
    def key(self) -> str:
        """What the ledger knows this analysis by."""
        return key(self.function, self.runs, self.parameters)

    def to_json(self) -> dict:
        """Give the analysis in its stored form."""
        content = {each.name: getattr(self, each.name) for each in fields(self)}
        content["runs"], content["trained"] = list(self.runs), list(self.trained)
        del content["stale"], content["study"]
        return content

    @classmethod
    def from_json(cls, content: dict, **more) -> "Analysis":
        """Rebuild an analysis from its stored form; `more` are the fields that are not stored."""
        keys = {name: tuple(content[name]) for name in ("runs", "trained")}
        return cls(**{**content, **keys}, **more)


def name(function: Callable) -> str:
    """Name a function by its module, so that a record tells where to find it.

    Raises:
        ValueError: It has no name of its own to be found by, as a lambda or an inner function.
    """
    if not function.__qualname__.isidentifier() or function.__module__ == "__main__":
        raise ValueError(
            f"an analysis has to be a function of a module, not {function!r}: "
            "what a notebook or a script defines cannot be found again"
        )
    return f"{function.__module__}:{function.__qualname__}"


def key(function: str, runs: tuple[str, ...], parameters: dict) -> str:
    """Name an analysis by its content: the same key means the same measurement."""
    return digest({"function": function, "runs": list(runs), "parameters": parameters})


def rounded(values):
    """Keep six significant digits of every number, in lists and dictionaries all the way down."""
    if isinstance(values, dict):
        return {str(name): rounded(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [rounded(value) for value in values]
    if hasattr(values, "tolist"):  # an array or a scalar of NumPy
        return rounded(values.tolist())
    return float(f"{values:.6g}") if isinstance(values, float) else values
