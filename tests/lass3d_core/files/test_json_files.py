"""JSON files: values come back as written, and a person's mistakes are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.errors import DataError
from lass3d_core.files.json_files import parse_json, read_json, read_json_of_user, write_json

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


def test_json_that_a_person_wrote_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(VALUES, indent="\t").replace("\n", "\r\n").encode())
    assert read_json_of_user(path) == VALUES
    path.write_text('[{"a": "}{:,[\\"a\\":"}, {"a": [-0, 1e5, "NaN"]}]')
    assert read_json_of_user(path) == [{"a": '}{:,["a":'}, {"a": [0, 1e5, "NaN"]}]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            '{"front": 1,\n "K": {"a": 1},\n "a": 2,\n "front": 3}',
            "line 4: the key 'front' stands twice, first at line 1",
        ),
        ('{"a": {"b": 1, "b": 1}}', "line 1: the key 'b' stands twice, first at line 1"),
        ('{"a": 1,\n "\\u0061": 1}', "line 2: the key 'a' stands twice"),
        ('{\n// my rig\n"a": 1}', "line 2: .*JSON has no comments"),
        ('{"a": 1 # one\n}', "line 1: .*JSON has no comments"),
        ('{"a": [1, 2,\n]}', "line [12]: no JSON here"),  # from Python 3.13 on it is the comma's line
        ('{"a":\nNaN}', "line 2: NaN is no finite number"),
        ('{"a": [1, -Infinity]}', "line 1: -Infinity is no finite number"),
        ('{"a": 1,\n"b": 1e400}', "line 2: 1e400 is no finite number"),
        ('{"a": 0,5}', "line 1: no JSON here"),
        ("", "line 1: no JSON here"),
        ("[" * 100_000, "nested too deeply"),
        ("1" * 5000, "is no JSON"),
    ],
)
def test_a_mistake_in_json_of_a_person_is_one_line_with_its_place(
    tmp_path: Path, text: str, why: str
) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(DataError, match=why) as caught:
        read_json_of_user(path)
    assert "calibration.json" in str(caught.value) and "\n" not in str(caught.value)
