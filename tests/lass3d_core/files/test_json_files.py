"""JSON files: values come back as written, and a person's mistakes are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.files.json_files import parse_json, read_json, write_json

VALUES: dict[str, Any] = {
    "name": "a wall\u00e9",
    "shares": [0.25, 1e-7, 3],
    "of": {"z": None, "a": True},
    "one": 1.0,
}


def test_values_come_back_and_the_file_is_plain_json(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", VALUES)
    assert read_json(tmp_path / "a.json") == VALUES == json.loads((tmp_path / "a.json").read_text())


def test_a_file_that_a_person_edited_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", VALUES)
    (tmp_path / "a.json").write_text((tmp_path / "a.json").read_text().replace("0.25", "0.5"))
    assert read_json(tmp_path / "a.json")["shares"] == [0.5, 1e-7, 3]


def test_the_checksum_of_an_earlier_version_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1, "sha256": "0"}')
    assert read_json(tmp_path / "a.json") == {"a": 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1"),
        ("nul", "line 1"),
        ('{"a": 1,\n "b": }', "line 2"),
        ("[]", "no JSON object"),
        ("1", "no JSON object"),
        ("[" * 100_000, "too deeply"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": {"b": 1, "c": 2, "b": 3}}', "'b' stands there twice"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_json(tmp_path / "a.json")


@settings(max_examples=50, deadline=None)
@given(content=st.binary(max_size=60))
def test_any_bytes_are_json_or_a_value_error(content: bytes) -> None:
    try:
        parse_json(content)
    except ValueError:
        return
