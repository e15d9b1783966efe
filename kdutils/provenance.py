"""Where a result comes from: the code that decides it, the versions, the machine."""

import ast
import functools
import importlib.util
import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import keras

from kdutils import methods, models
from kdutils.runs import Run, digest

SAME_BITS = {
    "kdutils.training": ("290ba96357360ab1", "f0b4ddd9c712e850"),
    "kdutils.data.views": ("8d9185fece8dedf1", "d268b793a3397751"),
    "kdutils.methods.checks": ("2dd97aab37298886", "04668f97bfb9e1a7"),
    "kdutils.methods.contrastive": ("76465f67bb2928e6", "96fe41a4131eb06e"),
    "kdutils.methods.distiller": ("d4e902de0aaf5f94", "d6a4b3cb4c785d39"),
    "kdutils.methods.extractive": ("dd4e612e4cfdadf5", "28417fcc8369cc9b"),
    "kdutils.methods.fitnets": ("c48d77c9b6ca3dbc", "6e2359d4b8c90c60"),
    "kdutils.methods.geometry": ("9d8c144c418ea91b", None),
    "kdutils.methods.memory": ("5c3ca89160060aea", None),
    "kdutils.methods.memory_bank": ("7e6b27144ee38eb9", "1351f70584af8d49"),
    "kdutils.methods.relational": ("724baa849c962a25", "9c9cf79390ec0aa2"),
    "kdutils.models.initialise": ("7e9224bceacb1f49", "9fe56111e8902ef2"),
    "kdutils.models.mnist": ("0fc0825866a59508", "56bdf5c8505c14d7"),
    "kdutils.models.taps": ("2f8aa83259e49034", "2cf34606b420e6da"),
    "kdutils.frozen": ("3439f21ef8b65da3", "74b31ebfcbaf5324"),
    "kdutils.predicting": ("aec5ac2ad943a532", "572eed0b8668b7d3"),
    "kdutils.turned": ("8d03c755b4d0ad7a", "c61897346bb2165f"),
    "kdutils.latency": ("895db781bf0a1117", "253a0cc09efe0b89"),
    "kdutils.explain": ("ea73dd29b4479a3d", "4423b14ff5233dd8"),
}
"""Modules that changed without changing any result: the digest they have now, and that of before.

The digest of before goes on standing in records, which so stay valid; a module that was taken out
of another has none. That nothing changed is
shown by `benchmarks/same_bits.py`, run with the code of before and of now: it trains one small run
of every kind that is recorded, and prints digests of weights, predictions and histories.
"""

BUILT_OF = ("kdutils.methods.", "kdutils.models.branches", "kdutils.models.heads")

SHARED_MODULES = (
    "kdutils.data.dataset",
    "kdutils.metrics",
    "kdutils.methods.distiller",
    "kdutils.models.initialise",
    "kdutils.training",
)


def code_digest(run: Run) -> str:
    """Digest of the modules that this run and its teachers use, comments and docstrings apart.

    It is recorded beside a result and compared later: another digest does not make a result wrong,
    but says that the code has changed since, and that the run ought to be repeated.
    """
    names = set(SHARED_MODULES)
    for each in lineage(run):
        names.update(_network_modules(models.NETWORKS[each.model]))
        names.update(_method_modules(methods.METHODS[each.method]))
        if each.views is not None:
            names.add("kdutils.data.views")
        if models.cuts(each.model):
            names |= {
                f"kdutils.{each}" for each in ("binary", "data.tiles", "frozen", "predicting")
            }
            names |= {"kdutils.models.taps", "kdutils.models.transfer"}
    digests = {name: module_digest(name) for name in sorted(names)}
    return digest({name: each for name, each in digests.items() if each is not None})


def _network_modules(network: Callable) -> set[str]:
    """Modules of a network, and that of heads with subclasses where it has one."""
    options = getattr(network, "keywords", {})
    builder = getattr(network, "func", network)
    heads = {"kdutils.models.heads"} if options.get("subclasses", 1) > 1 else set()
    return {builder.__module__} | heads


@functools.cache
def _method_modules(method: type) -> set[str]:
    """Modules of a method, those that they import from in turn, and that of the layers it taps."""
    found, left = set(), {method.__module__}
    while left:
        name = left.pop()
        found.add(name)
        imported = {
            node.module for node in ast.walk(_tree(name)) if isinstance(node, ast.ImportFrom)
        }
        left |= {each for each in imported if each and each.startswith(BUILT_OF)} - found
    if {*method.teacher_taps, *method.student_taps} - {"logits"}:
        found.add("kdutils.models.taps")
    return found


def lineage(run: Run) -> list[Run]:
    """The run and all runs it rests on, those it rests on first, each once."""
    found: dict[Run, None] = {}
    for source in filter(None, (run.teacher, run.init)):
        found.update(dict.fromkeys(lineage(source)))
    found[run] = None
    return list(found)


@functools.cache
def module_digest(name: str) -> str | None:
    """Digest of one module, comments and docstrings apart; `None` by `SAME_BITS` alone.

    Raises:
        ModuleNotFoundError: There is none of that name any more.
    """
    found = digest(_meaning(_tree(name)))
    now, before = SAME_BITS.get(name, (None, None))
    return before if found == now else found


def _tree(name: str) -> ast.Module:
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"there is no module {name}")
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _meaning(node):
    """A syntax tree as plain lists, without texts that are statements and without positions.

    Not `ast.dump` or `ast.unparse`: what they print differs between versions of Python.
    """
    if isinstance(node, list):
        return [_meaning(item) for item in node if not _is_text(item)]
    if not isinstance(node, ast.AST):
        return repr(node)
    children = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, [])]
    return [type(node).__name__, *([name, _meaning(value)] for name, value in children)]


def _is_text(node) -> bool:
    """Whether this is a docstring, or a note like those below the attributes of a class."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def versions() -> dict[str, str]:
    """Versions of what computes a result."""
    backend = keras.backend.backend()
    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        backend: sys.modules[backend].__version__,
        "numpy": version("numpy"),
        "pillow": version("pillow"),  # which decodes the tiles
        "kdutils": version("kdutils"),
    }


@functools.cache
def machine() -> dict:
    """The kind of machine, without a name that would identify it."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
    }


def _processor() -> str:
    details = Path("/proc/cpuinfo")
    if details.exists():
        for line in details.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"
