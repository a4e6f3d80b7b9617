from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.errors import CorruptArtifact, MissingArtifact
from lass3d_core.files.fingerprint import Record, digest
from preprocess.stages.jsonl_shards import content_digest, read_ends, read_jsonl, write_jsonl

RECORD = Record(stage="entities", schema=1, params={"a": 1}, inputs={"x.png": "00"}, upstream={})
IMAGES = [{"image_id": "00/0", "text": 'Straße, \u2028 "car"\n'}, {"image_id": "00/1", "error": "cut off"}]


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "00-000.jsonl"
    write_jsonl(path, RECORD, IMAGES, {"content": "abc"})
    return path


def test_what_was_written_is_read(shard: Path) -> None:
    header, images, footer = read_jsonl(shard)
    assert images == IMAGES
    assert (header.stage, header.shard, header.record) == ("entities", "00-000", RECORD)
    assert header.fingerprint == digest(RECORD)
    assert (footer.count, footer.failures, footer.digests) == (2, 1, {"content": "abc"})
    assert read_ends(shard) == (header, footer)


def test_a_line_is_plain_json(shard: Path) -> None:
    lines = shard.read_text(encoding="utf-8").split("\n")
    assert [json.loads(line) for line in lines[1:3]] == IMAGES and lines[-1] == ""


def test_equal_content_gives_equal_bytes(shard: Path, tmp_path: Path) -> None:
    again = tmp_path / "again" / "00-000.jsonl"
    write_jsonl(again, RECORD, IMAGES, {"content": "abc"})
    assert again.read_bytes() == shard.read_bytes()


def test_an_empty_shard_is_whole(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "none.jsonl", RECORD, [], {})
    assert read_jsonl(tmp_path / "none.jsonl")[1] == []


def test_every_cut_is_noticed(shard: Path) -> None:
    whole = shard.read_bytes()
    for length in range(len(whole)):
        shard.write_bytes(whole[:length])
        with pytest.raises(CorruptArtifact, match="run `make captions`"):
            read_jsonl(shard)
        with pytest.raises(CorruptArtifact):
            read_ends(shard)


def test_every_flipped_bit_is_noticed(shard: Path) -> None:
    whole = shard.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        shard.write_bytes(damaged)
        with pytest.raises(CorruptArtifact):
            read_jsonl(shard)


def test_a_lost_line_is_counted(shard: Path) -> None:
    lines = shard.read_bytes().splitlines(keepends=True)
    shard.write_bytes(b"".join([*lines[:1], *lines[2:]]))
    with pytest.raises(CorruptArtifact, match="1 records, but line 3 says 2"):
        read_jsonl(shard)


def test_the_line_that_is_no_json_is_named(shard: Path) -> None:
    lines = shard.read_bytes().splitlines(keepends=True)
    shard.write_bytes(b"".join([*lines[:2], b"{\n", *lines[3:]]))
    with pytest.raises(CorruptArtifact, match=r"00-000\.jsonl: line 3 is not JSON"):
        read_jsonl(shard)


def test_a_shard_that_is_not_there_says_what_to_run(tmp_path: Path) -> None:
    for read in (read_jsonl, read_ends):
        with pytest.raises(MissingArtifact, match="run `make captions`"):
            read(tmp_path / "no.jsonl")


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers() | st.none(), max_size=5))
def test_the_digest_ignores_the_order_of_keys(values: dict) -> None:
    assert content_digest(values) == content_digest(dict(reversed(values.items())))
