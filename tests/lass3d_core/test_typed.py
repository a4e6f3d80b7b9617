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

from lass3d_core.typed import build, nearest, parse_setting, replace_at, to_json


class Fusion(enum.Enum):
    ADD = "add"
    CONCAT = "concat"


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5
    names: tuple[str, ...] = ("a",)
    size: tuple[int, int] = (1, 2)

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError(f"rate must not be negative, got {self.rate}")


@dataclass(frozen=True)
class Outer:
    steps: int
    kind: Literal["x", "y"] = "x"
    fusion: Fusion = Fusion.ADD
    inner: Inner = field(default_factory=Inner)
    many: Mapping[str, Inner] = field(default_factory=dict)
    root: Path | None = None
    flag: bool = False
    anything: Any = None


def built(values: Any) -> tuple[Outer | None, list[str]]:
    problems: list[str] = []
    return build(Outer, values, "", problems), problems


def test_a_mapping_becomes_a_dataclass_with_its_defaults() -> None:
    values = {"steps": 3, "fusion": "concat", "inner": {"rate": 1}, "many": {1: {"names": []}}, "root": "a/b"}
    outer, problems = built(values)
    assert problems == []
    assert outer == Outer(
        3, fusion=Fusion.CONCAT, inner=Inner(1.0), many={"1": Inner(names=())}, root=Path("a/b")
    )


def test_every_problem_is_reported_and_named_by_its_path() -> None:
    values = {
        "kinds": "x",
        "kind": "z",
        "fusion": "mul",
        "inner": {"rate": "fast", "names": "abc", "size": [1, 2, 3], "ratte": 1},
        "many": {"k": {"rate": -1}, "l": 3},
        "root": 7,
        "flag": "yes",
    }
    outer, problems = built(values)
    assert outer is None
    assert problems == [
        "kinds: unknown key; did you mean 'kind'?",
        "steps: missing",
        "kind: 'z' is not one of x, y",
        "fusion: 'mul' is not one of add, concat",
        "inner.ratte: unknown key; did you mean 'rate'?",
        "inner.rate: expected a finite number, got 'fast'",
        "inner.names: expected a list, got 'abc'",
        "inner.size: expected 2 values, got 3",
        "many.k: rate must not be negative, got -1.0",
        "many.l: expected keys and values, got 3",
        "root: expected a path, got 7",
        "flag: expected true or false, got 'yes'",
    ]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (None, ": expected keys and values, got None"),
        ([1], ": expected keys and values, got [1]"),
        ({"steps": True}, "steps: expected a whole number, got True"),
        ({"steps": 1.0}, "steps: expected a whole number, got 1.0"),
        ({"steps": 1, "inner": {"rate": float("nan")}}, "inner.rate: expected a finite number, got nan"),
        ({"steps": 1, "inner": {"rate": True}}, "inner.rate: expected a finite number, got True"),
        ({"steps": 1, "inner": {"names": ["a", 1]}}, "inner.names[1]: expected a text, got 1"),
        ({"steps": 1, "many": [1]}, "many: expected keys and values, got [1]"),
        ({"steps": 1, "kind": ["x"]}, "kind: ['x'] is not one of x, y"),
    ],
)
def test_wrong_types_are_named(values: Any, problem: str) -> None:
    assert built(values) == (None, [problem])


def test_numbers_that_yaml_takes_for_texts_are_numbers() -> None:
    """YAML 1.1 reads 1e-3 as a text, for want of a dot."""
    keys, value = parse_setting("inner.rate=1e-3")
    outer = replace_at(Outer(1), keys, value, "", problems := [])
    assert (outer.inner.rate, problems) == (0.001, [])


def test_a_setting_replaces_one_nested_value_and_checks_it() -> None:
    outer = Outer(1)
    assert replace_at(outer, ("inner", "size"), [3, 4], "", []) == Outer(1, inner=Inner(size=(3, 4)))
    for keys, value, problem in (
        (("inner", "rat"), 1, "inner.rat: unknown key; did you mean 'rate'?"),
        (("inner", "rate"), -1, "inner.rate: rate must not be negative, got -1.0"),
        (("steps", "x"), 1, "steps: has no keys below it"),
        (("steps",), "many", "steps: expected a whole number, got 'many'"),
    ):
        problems: list[str] = []
        assert replace_at(outer, keys, value, "", problems) == outer
        assert problems == [problem]


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


def test_plain_is_the_inverse_of_build() -> None:
    outer = Outer(
        3, "y", Fusion.CONCAT, Inner(0.25, ("b", "c")), {"k": Inner()}, Path("x"), True, {"a": (1,)}
    )
    again, problems = built(to_json(outer))
    assert problems == [] and again is not None
    assert to_json(again) == to_json(outer)


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
def test_whatever_stands_in_a_file_is_built_or_reported(values: Any) -> None:
    outer, problems = built(values)
    assert (outer is None) == bool(problems)
    assert all(": " in problem and "\n" not in problem for problem in problems)
