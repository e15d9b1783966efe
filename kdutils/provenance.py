"""Where a result comes from: the code that decides it, the versions, the machine."""

import ast
import functools
import importlib.util
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import keras

from kdutils import methods, models
from kdutils.runs import Run, digest

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
        names.add(models.NETWORKS[each.model].__module__)
        names.update(_method_modules(methods.METHODS[each.method]))
        if each.views is not None:
            names.add("kdutils.data.views")
    return digest({name: module_digest(name) for name in sorted(names)})


def _method_modules(method: type) -> set[str]:
    """Modules of a method and of the methods it builds on."""
    return {each.__module__ for each in method.__mro__ if issubclass(each, methods.Method)}


def lineage(run: Run) -> list[Run]:
    """The run and all runs it rests on, those it rests on first, each once."""
    found: dict[Run, None] = {}
    for source in filter(None, (run.teacher, run.init)):
        found.update(dict.fromkeys(lineage(source)))
    found[run] = None
    return list(found)


@functools.cache
def module_digest(name: str) -> str:
    """Digest of one module, comments and docstrings apart.

    Raises:
        ModuleNotFoundError: There is none of that name any more.
    """
    found = importlib.util.find_spec(name)
    if found is None:
        raise ModuleNotFoundError(f"there is no module {name}")
    source = found.origin
    return digest(_meaning(ast.parse(Path(source).read_text(encoding="utf-8"))))


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
