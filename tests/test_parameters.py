import textwrap

import pytest
import yaml

from kdutils.parameters import ParameterError, check, declared

ANNOTATIONS = {
    "epochs": int,
    "rate": float,
    "name": str,
    "fresh": bool,
    "temperatures": list[float],
}


def test_declared_reads_names_types_and_defaults_in_order():
    source = textwrap.dedent(
        """
        profile: str = "full"  # which profile this is
        epochs: int = 12
        alpha: float = 1
        shift: float = -0.5
        fresh: bool = False
        temperatures: list[float] = [1, 2.0]
        seeds: list[int] = [0, 1]
        names: list[str] = []
        """
    )
    assert list(declared(source).items()) == [
        ("profile", (str, "full")),
        ("epochs", (int, 12)),
        ("alpha", (float, 1)),
        ("shift", (float, -0.5)),
        ("fresh", (bool, False)),
        ("temperatures", (list[float], [1, 2.0])),
        ("seeds", (list[int], [0, 1])),
        ("names", (list[str], [])),
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("epochs = 12", "line 1 is not of the form `epochs: int = 12`: 'epochs = 12'"),
        ("epochs: int", "line 1 is not of the form"),
        ("import keras", "line 1 is not of the form"),
        ("epochs: int = (", "line 1 is not Python"),
        ("sizes: dict = {}", "sizes has type dict; a parameter is one of int, float, str"),
        ("epochs: int = count()", "the default of epochs must be a plain value, not 'count()'"),
        ("epochs: int = 1.5", "epochs must be int, not 1.5"),
    ],
)
def test_declared_refuses_what_is_no_annotated_parameter(source, message):
    with pytest.raises(ParameterError) as caught:
        declared(source, "a.md")
    assert str(caught.value).startswith("a.md: ")
    assert message in str(caught.value)


def test_check_accepts_fitting_values_and_whole_numbers_for_float():
    values = {"epochs": 3, "rate": 1, "name": "x", "fresh": True, "temperatures": [1, 2.5]}
    check(values, ANNOTATIONS, "a.yaml")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 1.0),
        ("epochs", True),
        ("rate", False),
        ("rate", None),
        ("name", 3),
        ("fresh", 1),
        ("fresh", "true"),
        ("temperatures", 4.0),
        ("temperatures", (1.0,)),
        ("temperatures", [1.0, True]),
    ],
)
def test_check_refuses_another_type(name, value):
    with pytest.raises(ParameterError, match=rf"^a\.yaml: {name} must be "):
        check({name: value}, ANNOTATIONS, "a.yaml")


def test_check_lists_every_fault_with_the_names_that_exist():
    with pytest.raises(ParameterError) as caught:
        check({"epoch": 3, "rate": "fast", "epochs": 2}, ANNOTATIONS, "a.yaml")
    assert caught.value.faults == [
        "a.yaml: no parameter 'epoch'; it has epochs, rate, name, fresh, temperatures",
        "a.yaml: rate must be float, not 'fast'",
    ]


@pytest.mark.parametrize(
    ("name", "written", "hint"),
    [
        ("rate", "1e-3", "1.0e-3"),
        ("rate", "2E5", "2.0e+5"),
        ("rate", "1.5e3", "1.5e+3"),
        ("rate", "'4'", "4.0"),
        ("epochs", "1e1", "10"),
        ("epochs", "'7'", "7"),
        ("temperatures", "[1.0, 5e-1]", "5.0e-1"),
    ],
)
def test_check_tells_how_to_write_a_number_that_yaml_takes_for_text(name, written, hint):
    with pytest.raises(ParameterError) as caught:
        check(yaml.safe_load(f"{name}: {written}"), ANNOTATIONS, "a.yaml")
    assert str(caught.value).endswith(f"is text in YAML; write {hint}")
    value = f"[{hint}]" if name == "temperatures" else hint
    check(yaml.safe_load(f"{name}: {value}"), ANNOTATIONS, "a.yaml")
