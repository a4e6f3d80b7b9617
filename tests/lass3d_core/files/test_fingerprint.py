"""Fingerprints: equal exactly for equal records, and every difference told in words."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.errors import DataError
from lass3d_core.files.fingerprint import InputDigests, Record, digest, reasons
from lass3d_core.records import FilePart

LONG_AGO_NS = 1_600_000_000_000_000_000


def record(**changes: Any) -> Record:
    values: dict[str, Any] = {
        "stage": "pairs",
        "schema": 1,
        "params": {"min_score": 0.3, "captioner": {"name": "palette"}},
        "inputs": {"00/image_2/000000.png": "aa", "00/image_2/000012.png": "bb"},
        "upstream": {"image_captions 00-000": "cc"},
    }
    return values | changes  # type: ignore[return-value]


def test_the_digest_depends_on_content_and_not_on_the_order_of_keys() -> None:
    same = dict(reversed(record().items()))
    assert digest(record()) == digest(same) and len(digest(record())) == 64  # type: ignore[arg-type]
    assert digest(record(schema=2)) != digest(record())
    assert digest(record(params={"min_score": 0.30000001})) != digest(record(params={"min_score": 0.3}))


def test_equal_records_differ_for_no_reason() -> None:
    assert reasons(record(), json.loads(json.dumps(record()))) == []


def test_every_difference_is_a_sentence_with_both_values() -> None:
    assert reasons(record(), record(params={"min_score": 0.4, "captioner": {"name": "kosmos2"}})) == [
        "captioner name: palette -> kosmos2",
        "min_score: 0.3 -> 0.4",
    ]
    assert reasons(record(), record(schema=2, stage="entities")) == [
        "stage: pairs -> entities",
        "the format of entities changed: schema 1 -> 2",
    ]
    assert reasons(record(params={"a": 1}), record(params={"b": [2]})) == ["a: 1 is gone", "b: [2] is new"]


def test_changed_inputs_are_counted_and_the_first_is_named() -> None:
    many = {f"{i:06d}.png": "aa" for i in range(64)}
    changed = many | {"000012.png": "x", "000013.png": "x", "000060.png": "x"}
    assert reasons(record(inputs=many), record(inputs=changed)) == [
        "3 of 64 input files changed (first: 000012.png)"
    ]
    assert reasons(record(inputs={"a": "1"}), record(inputs={"b": "1"})) == [
        "1 new input file (first: b)",
        "1 input file no longer used (first: a)",
    ]


def test_upstream_shards_that_were_redone_are_named() -> None:
    assert reasons(record(), record(upstream={"image_captions 00-000": "dd"})) == [
        "image_captions 00-000 was redone"
    ]
    two, redone = (
        {"entities 00-000": "1", "entities 00-001": "2"},
        {"entities 00-000": "3", "entities 00-001": "4"},
    )
    assert reasons(record(upstream=two), record(upstream=redone)) == [
        "entities 00-000 and 1 more were redone"
    ]
    assert reasons(record(upstream={}), record(upstream={"x": "1"})) == ["x was added"]
    assert reasons(record(upstream={"x": "1"}), record(upstream={})) == ["x was removed"]


LEAVES = st.sampled_from([None, False, True, 0, 1, 0.0, -0.0, 1.0, 0.5, "", "1", "one\ntwo"])
PARAMS = st.dictionaries(
    st.sampled_from("ab"),
    st.recursive(
        LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner)
    ),
)


@settings(max_examples=50, deadline=None)
@given(old=PARAMS, new=PARAMS)
def test_there_is_a_reason_exactly_when_the_digests_differ(old: dict[str, Any], new: dict[str, Any]) -> None:
    before, after = record(params=old), record(params=new)
    found = reasons(before, after)
    assert bool(found) == (digest(before) != digest(after))
    assert not any("\n" in reason for reason in found)


def test_values_that_python_takes_for_equal_are_told_apart() -> None:
    assert reasons(record(params={"a": 1}), record(params={"a": True})) == ["a: 1 -> true"]
    assert reasons(record(params={"a": 1}), record(params={"a": 1.0})) == ["a: 1 -> 1.0"]


def test_content_decides_and_neither_path_nor_time(tmp_path: Path) -> None:
    one, copy, other = tmp_path / "one.bin", tmp_path / "copy.bin", tmp_path / "other.bin"
    one.write_bytes(b"points" * 1000)
    copy.write_bytes(b"points" * 1000)
    other.write_bytes(b"points" * 1000 + b"!")
    os.utime(copy, ns=(LONG_AGO_NS, LONG_AGO_NS))
    digests = InputDigests(tmp_path / "memory.json")
    assert (
        digests.digest_of(FilePart(one))
        == digests.digest_of(FilePart(copy))
        != digests.digest_of(FilePart(other))
    )
    assert len(digests.digest_of(FilePart(one))) == 32


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    """Shown by a change that keeps size and time: only a reader would notice it."""
    file, memory = tmp_path / "a.bin", tmp_path / "memory.json"
    file.write_bytes(b"aaaa")
    os.utime(file, ns=(LONG_AGO_NS, LONG_AGO_NS))
    first = InputDigests(memory)
    known = first.digest_of(FilePart(file))
    first.save()
    file.write_bytes(b"bbbb")
    os.utime(file, ns=(LONG_AGO_NS, LONG_AGO_NS))
    assert InputDigests(memory).digest_of(FilePart(file)) == known
    os.utime(file, ns=(LONG_AGO_NS, LONG_AGO_NS + 1))
    assert InputDigests(memory).digest_of(FilePart(file)) != known


def test_a_file_changed_just_now_is_always_read(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"aaaa")
    digests = InputDigests(tmp_path / "memory.json")
    before, status = digests.digest_of(FilePart(file)), file.stat()
    file.write_bytes(b"bbbb")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert digests.digest_of(FilePart(file)) != before


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"x": 3}', '{"x": [1, 2, 3]}'])
def test_a_damaged_memory_costs_time_and_nothing_else(tmp_path: Path, text: str) -> None:
    memory, file = tmp_path / "memory.json", tmp_path / "a.bin"
    memory.write_text(text)
    file.write_bytes(b"a")
    assert InputDigests(memory).digest_of(FilePart(file)) == InputDigests(tmp_path / "none.json").digest_of(
        FilePart(file)
    )


def test_a_missing_or_unreadable_input_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.bin does not exist; restore it"):
        InputDigests(tmp_path / "memory.json").digest_of(FilePart(tmp_path / "gone.bin"))
    with pytest.raises(DataError, match="cannot be read"):
        InputDigests(tmp_path / "memory.json").digest_of(FilePart(tmp_path))


def test_a_part_of_a_file_is_known_by_its_own_bytes(tmp_path: Path) -> None:
    container, alone = tmp_path / "container.sens", tmp_path / "alone.bin"
    container.write_bytes(b"head" + b"picture" + b"tail")
    alone.write_bytes(b"picture")
    digests = InputDigests(tmp_path / "memory.json")
    assert digests.digest_of(FilePart(container, 4, 7)) == digests.digest_of(FilePart(alone))
    assert digests.digest_of(FilePart(container, 4, 7)) != digests.digest_of(FilePart(container))
