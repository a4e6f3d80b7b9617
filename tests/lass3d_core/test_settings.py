"""Plain mappings become dataclasses, and whatever is wrong is reported together, each by its path."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import Field
from pydantic import dataclasses as pydantic

from lass3d_core.settings import (
    SETTINGS,
    WrongSettings,
    nearest,
    parse_setting,
    read,
    to_json,
    with_settings,
)


class Fusion(enum.Enum):
    ADD = "add"
    CONCAT = "concat"


@dataclass(frozen=True)
class Plain:
    """Not of pydantic's, and checked all the same."""

    count: int = 1
    parts: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"count must not be negative, got {self.count}")


@pydantic.dataclass(frozen=True, config=SETTINGS)
class Inner:
    rate: float = Field(0.5, ge=0, lt=1)
    names: tuple[str, ...] = ("a",)
    size: tuple[int, int] = (1, 2)
    plain: Plain = field(default_factory=Plain)


@pydantic.dataclass(frozen=True, config=SETTINGS)
class Outer:
    steps: int
    kind: Literal["x", "y"] = "x"
    fusion: Fusion = Fusion.ADD
    inner: Inner = field(default_factory=Inner)
    many: Mapping[str, Inner] = field(default_factory=dict)
    root: Path | None = None
    flag: bool = False
    anything: Any = None


def problems_of(values: Any, path: str = "") -> list[str]:
    with pytest.raises(WrongSettings) as refused:
        read(Outer, values, path)
    return refused.value.problems


def test_a_mapping_becomes_a_dataclass_with_its_defaults() -> None:
    values = {"steps": 3, "fusion": "concat", "inner": {"rate": 0}, "many": {1: {"names": []}}, "root": "a/b"}
    expected = Outer(3, fusion=Fusion.CONCAT, inner=Inner(0.0), many={"1": Inner(names=())}, root=Path("a/b"))
    assert read(Outer, values) == expected


def test_every_problem_is_reported_and_named_by_its_path() -> None:
    values = {
        "kinds": "x",
        "kind": "z",
        "fusion": "mul",
        "inner": {"rate": "fast", "names": "abc", "size": [1, 2, 3], "ratte": 1, "plain": {"cuont": 1}},
        "many": {"k": {"rate": -1, "size": []}, "l": 3, "m": {"rate": 1, "plain": {"count": -1}}},
        "root": 7,
        "flag": "yes",
    }
    assert sorted(problems_of(values)) == [
        "flag: expected true or false, got 'yes'",
        "fusion: 'mul' is not one of add, concat",
        "inner.names: expected a list, got 'abc'",
        "inner.plain.cuont: unknown key; did you mean 'count'?",
        "inner.rate: expected a finite number, got 'fast'",
        "inner.ratte: unknown key; did you mean 'rate'?",
        "inner.size: expected 2 values, got 3",
        "kind: 'z' is not one of x, y",
        "kinds: unknown key; did you mean 'kind'?",
        "many.k.rate: must be at least 0, got -1",
        "many.k.size: expected 2 values, got 0",
        "many.l: expected keys and values, got 3",
        "many.m.plain: count must not be negative, got -1",
        "many.m.rate: must be below 1, got 1",
        "root: expected a text, got 7; put it in quotes",
        "steps: missing",
    ]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (None, "expected keys and values, got None"),
        ([1], "expected keys and values, got [1]"),
        ({"steps": True}, "steps: expected a whole number, got True"),
        ({"steps": 1.0}, "steps: expected a whole number, got 1.0"),
        ({"steps": "1"}, "steps: expected a whole number, got '1'"),
        ({"steps": 1, "inner": {"rate": float("nan")}}, "inner.rate: expected a finite number, got nan"),
        ({"steps": 1, "inner": {"rate": float("inf")}}, "inner.rate: expected a finite number, got inf"),
        ({"steps": 1, "inner": {"rate": True}}, "inner.rate: expected a finite number, got True"),
        (
            {"steps": 1, "inner": {"names": ["a", 1]}},
            "inner.names[1]: expected a text, got 1; put it in quotes",
        ),
        (
            {"steps": 1, "inner": {"plain": {"parts": [True]}}},
            "inner.plain.parts[0]: expected a finite number, got True",
        ),
        ({"steps": 1, "many": [1]}, "many: expected keys and values, got [1]"),
        ({"steps": 1, "kind": ["x"]}, "kind: ['x'] is not one of x, y"),
        ({"steps": 1, "flag": 1}, "flag: expected true or false, got 1"),
    ],
)
def test_wrong_types_are_named(values: Any, problem: str) -> None:
    assert problems_of(values) == [problem]


def test_a_path_stands_in_front_of_every_problem() -> None:
    assert problems_of({"stps": 1}, "a.b") == [
        "a.b.steps: missing",
        "a.b.stps: unknown key; did you mean 'steps'?",
    ]
    assert problems_of(3, "a.b") == ["a.b: expected keys and values, got 3"]


def test_values_that_stand_inside_themselves_are_reported() -> None:
    values: dict[str, Any] = {"steps": 1}
    values["anything"] = values
    assert problems_of(values) == ["is nested too deeply"]


def test_settings_replace_nested_values_and_are_checked_together() -> None:
    outer = Outer(1)
    changed = with_settings(outer, ["inner.size=[3, 4]", "inner.rate=1e-3"])
    assert changed == Outer(1, inner=Inner(0.001, size=(3, 4))) and outer == Outer(1)
    with pytest.raises(WrongSettings) as refused:
        with_settings(
            outer,
            ["inner.rat=1", "innr.rate=1", "inner.rate=-1", "steps.x=1", "steps=many", "flag", "root=[1"],
        )
    assert sorted(refused.value.problems) == [
        "'flag' is not of the form key=value",
        "'root=[1': not valid YAML at line 1: expected ',' or ']', but got '<stream end>'",
        "inner.rat: unknown key; did you mean 'rate'?",
        "inner.rate: must be at least 0, got -1",
        "innr: unknown key; did you mean 'inner'?",
        "steps: expected a whole number, got 'many'",
        "steps: has no keys below it",
    ]


@pytest.mark.parametrize(
    ("text", "keys", "value"),
    [
        ("method.tau_r=0.8", ("method", "tau_r"), 0.8),
        ("a=[1, 2]", ("a",), [1, 2]),
        ("a = b=c", ("a",), "b=c"),
        ("a=", ("a",), None),
    ],
)
def test_settings_are_read_as_yaml(text: str, keys: tuple[str, ...], value: Any) -> None:
    assert parse_setting(text) == (keys, value)


@pytest.mark.parametrize("text", ["a", "", "=1", "a=[1", "a={"])
def test_a_setting_that_is_none_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_setting(text)


def test_to_json_is_the_inverse_of_read() -> None:
    outer = Outer(
        3, "y", Fusion.CONCAT, Inner(0.25, ("b", "c")), {"k": Inner()}, Path("x"), True, {"a": (1,)}
    )
    assert to_json(read(Outer, to_json(outer))) == to_json(outer)


def test_the_nearest_known_name_is_suggested() -> None:
    assert nearest("captoins", ["captions", "pairs"]) == "; did you mean 'captions'?"
    assert nearest("zzz", ["captions"]) == ""


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["steps", "kind", "fusion", "inner", "rate", "names", "size", "many", "root", "flag"]
            )
            | st.text(max_size=2)
            | st.integers(0, 2),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None)
@given(values=VALUES)
@example(values={"\n": None})
def test_whatever_stands_in_a_file_is_read_or_reported(values: Any) -> None:
    try:
        read(Outer, values)
    except WrongSettings as error:
        assert error.problems and all("\n" not in problem for problem in error.problems)
