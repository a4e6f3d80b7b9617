"""YAML of a stranger: bombs, knots, code and broken text end in one line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.manifest.plain_yaml import load_yaml

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
MERGED = "b0: &b0 {x: 1, y: 2}\n" + "".join(
    f"b{n}: &b{n}\n  <<: [{', '.join([f'*b{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


def test_aliases_and_merges_are_read() -> None:
    values = load_yaml("a: &a {x: 1}\nb: *a\nc:\n  <<: *a\n  y: [1.5, two, null]\n")
    assert values == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": [1.5, "two", None]}}
    assert load_yaml("") is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BOMB, "aliases stand for more than"),
        (MERGED, "aliases stand for more than"),
        ("a: &a [*a]", "inside what it stands for"),
        ("a: &a\n  b: {c: *a}", "inside what it stands for"),
        ("[" * 5000, "nested too deeply"),
        ("a: 2024-13-45", "month must be in"),
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
