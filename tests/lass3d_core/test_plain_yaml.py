"""YAML is read as plain values; what cannot be read is one line that names the line in the file."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.plain_yaml import load_yaml


def test_aliases_and_merges_are_read() -> None:
    values = load_yaml("a: &a {x: 1}\nb: *a\nc:\n  <<: *a\n  y: [1.5, two, null]\n")
    assert values == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": [1.5, "two", None]}}
    assert load_yaml("") is None


def test_a_key_may_replace_a_merged_one_at_any_depth() -> None:
    text = "a: {deep: &a {<<: &z {x: 0}, x: 1}}\nc: {<<: *a, x: 2}\nz: *z\n"
    assert load_yaml(text) == {"a": {"deep": {"x": 1}}, "c": {"x": 2}, "z": {"x": 0}}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 1e-3), ("-2E5", -2e5), ("+1.e3", 1e3), ("3", 3), ("1e", "1e"), ("2024-13-45", "2024-13-45")],
)
def test_numbers_without_a_dot_are_numbers_and_dates_are_texts(text: str, value: Any) -> None:
    found = load_yaml(f"a: {text}")["a"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text", ["010", "00", "-07", "2013_05_28", "12:30", "1_000", "0x1f", "0b11", "00.5", "0o7"]
)
def test_what_other_readers_count_in_another_base_is_a_text(text: str) -> None:
    assert load_yaml(f"a: [{text}]") == {"a": [text]}


def test_a_key_is_a_text() -> None:
    found = load_yaml("no: 1\n2024: {on: no}\n0.50: {~: 2}\nnull: 3\n")
    assert found == {"no": 1, "2024": {"on": False}, "0.50": {"~": 2}, "null": 3}


@pytest.mark.parametrize(
    ("text", "value"),
    [(".5", 0.5), ("-0.", -0.0), ("+3", 3), (".inf", float("inf")), ("0", 0), ("1.5E3", 1500.0)],
)
def test_the_forms_of_a_number(text: str, value: Any) -> None:
    found = load_yaml(f"a: {text}")["a"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 1\nb: 2\na: 3", "at line 3: the key 'a' stands twice, first at line 1"),
        ("x: {a: 1, a: 1}", "at line 1: the key 'a' stands twice"),
        ('x:\n  1: a\n  "1": b', "at line 3: the key '1' stands twice, first at line 2"),
        ("a:\n\tb: 1", "at line 2: .*indent with spaces"),
        ("no: 1\nb: 2\n'no': 3", "at line 3: the key 'no' stands twice, first at line 1"),
        ("a: {<<: {b: 1}, c: 1, c: 2}", "the key 'c' stands twice"),
        ("[" * 5000, "nested too deeply"),
        ("a: !!int x", "invalid literal for int"),
        ("a: !!timestamp x", "not valid YAML"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: \x07", "unacceptable character"),
        ("a: [1\nb: {", "line 2"),
        ("? {a: 1}\n: 2", "unhashable"),
        ("a: 1\n---\nb: 2", "line 2"),
    ],
)
def test_what_cannot_be_read_is_one_line(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        load_yaml(text)
    assert "\n" not in str(refused.value)


@settings(max_examples=50, deadline=None)
@given(text=st.text(alphabet=" \n:-[]{}&*!'\"#|>%@~ab019.<=?,\t", max_size=60))
def test_any_text_is_a_value_or_a_value_error(text: str) -> None:
    try:
        load_yaml(text)
    except ValueError as error:
        assert "\n" not in str(error)
