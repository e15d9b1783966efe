"""Parameters of a notebook: which ones it declares, and whether given values fit them.

The report checks a profile's file before it runs anything; a notebook checks again what it was
given, because papermill takes unknown names and wrong types without complaint.
"""

import ast
import math
from collections.abc import Mapping
from typing import Any, get_args, get_origin


def _name(annotation: type) -> str:
    return str(annotation) if get_origin(annotation) else annotation.__name__


_TYPES = {
    _name(annotation): annotation
    for annotation in (int, float, str, bool, list[int], list[float], list[str])
}


class ParameterError(ValueError):
    """Values that do not fit the declared parameters, or a parameters cell that declares badly.

    The message holds one line for each fault, every line starting with where it stands.
    """

    def __init__(self, faults: list[str]):
        self.faults = faults
        super().__init__("\n".join(faults))


def declared(source: str, where: str = "parameters cell") -> dict[str, tuple[type, Any]]:
    """Reads the parameters that a cell declares, without running it.

    Args:
        source: The code of the cell tagged `parameters`: nothing but lines such as
            `epochs: int = 12`.
        where: The cell's place, for messages.

    Returns:
        For each name, in the order of the cell, its type and its default.

    Raises:
        ParameterError: Where a line is no annotated parameter, its type is not one of int, float,
            str, bool, list[int], list[float] and list[str], or its default does not fit its type.
    """
    try:
        lines = ast.parse(source).body
    except SyntaxError as error:
        raise ParameterError([f"{where}: line {error.lineno} is not Python: {error.msg}"]) from None
    parameters, faults = {}, []
    for line in lines:
        match line:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=ast.expr()):
                type_name = ast.unparse(annotation)
                if type_name not in _TYPES:
                    faults.append(
                        f"{where}: {name} has type {type_name}; a parameter is one of "
                        f"{', '.join(_TYPES)}"
                    )
                    continue
                try:
                    parameters[name] = _TYPES[type_name], ast.literal_eval(line.value)
                except ValueError:
                    faults.append(
                        f"{where}: the default of {name} must be a plain value, "
                        f"not {ast.unparse(line.value)!r}"
                    )
            case _:
                faults.append(
                    f"{where}: line {line.lineno} is not of the form `epochs: int = 12`: "
                    f"{ast.unparse(line)!r}"
                )
    if faults:
        raise ParameterError(faults)
    check(
        {name: default for name, (_, default) in parameters.items()},
        {name: annotation for name, (annotation, _) in parameters.items()},
        where,
    )
    return parameters


def check(values: Mapping[str, Any], annotations: Mapping[str, type], where: str) -> None:
    """Checks that every value has a declared name and fits that name's type.

    Args:
        values: The values given. A name left out keeps its default, so it is no fault.
        annotations: The type of every declared parameter, such as `int` or `list[float]`. A whole
            number fits `float`; a bool fits only `bool`.
        where: What the values were read from, for the message.

    Raises:
        ParameterError: Naming every unknown name and every value of the wrong type.
    """
    faults = []
    for name, value in values.items():
        if name not in annotations:
            faults.append(f"{where}: no parameter {name!r}; it has {', '.join(annotations)}")
        elif not _fits(value, annotations[name]):
            hints = "".join(
                f"; {text!r} is text in YAML; write {number}"
                for text in (value if isinstance(value, list) else [value])
                if (number := _number(text, annotations[name]))
            )
            faults.append(
                f"{where}: {name} must be {_name(annotations[name])}, not {value!r}{hints}"
            )
    if faults:
        raise ParameterError(faults)


def _fits(value: Any, annotation: type) -> bool:
    if get_origin(annotation) is list:
        (element,) = get_args(annotation)
        return isinstance(value, list) and all(_fits(item, element) for item in value)
    if annotation is float:
        return type(value) in (int, float)
    return type(value) is annotation


def _number(text: Any, annotation: type) -> str | None:
    """How to write in YAML the number that `text` spells: `1.0e-3`, as `1e-3` is text there."""
    try:
        value = float(text) if isinstance(text, str) else math.nan
    except ValueError:
        return None
    if annotation in (int, list[int]) and value.is_integer():
        return str(int(value))
    if annotation not in (float, list[float]) or not math.isfinite(value):
        return None
    mantissa, mark, exponent = text.strip().lower().partition("e")
    point = "" if "." in mantissa else ".0"
    sign = "+" if mark and exponent[0] not in "+-" else ""
    return f"{mantissa}{point}{mark}{sign}{exponent}"
