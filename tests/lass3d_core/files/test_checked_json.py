"""Any byte of a checked file may flip: the values come back as they were, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lass3d_core.files.checked_json import parse_json, read_json, write_json

VALUES: dict[str, Any] = {
    "name": "a wall\u00e9",
    "shares": [0.25, 1e-7, 3],
    "of": {"z": None, "a": True},
    "one": 1.0,
}


def test_values_come_back_and_are_plain_json_for_a_stranger(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", VALUES)
    assert read_json(tmp_path / "a.json") == VALUES
    plain = json.loads((tmp_path / "a.json").read_text())
    assert len(plain.pop("sha256")) == 64 and plain == VALUES


def test_every_flipped_byte_is_noticed_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, VALUES)
    whole, noticed = path.read_bytes(), 0
    for place in range(len(whole)):
        for flip in (1, 2, 16, 32, 128):
            damaged = bytearray(whole)
            damaged[place] ^= flip
            path.write_bytes(damaged)
            try:
                read = read_json(path)
            except ValueError:
                noticed += 1
                continue
            assert repr(read) == repr(VALUES)  # a space between values, the e of an exponent
    assert noticed > 4.5 * len(whole)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "1", "nul", "[" * 100_000, '{"a": NaN}', '{"a": 1, "sha256": "0"}']
)
def test_what_was_not_written_here_is_a_value_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError):
        read_json(tmp_path / "a.json")


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60))
def test_foreign_bytes_are_a_value_error_or_json(content: bytes) -> None:
    try:
        parse_json(content)
    except ValueError:
        return
