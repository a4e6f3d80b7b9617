"""The text table reads back as written, notices damage, and refuses rows that do not fit together."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lass3d_core.errors import CorruptArtifact, MissingArtifact, StaleArtifact
from lass3d_core.files.fingerprint import Record
from lass3d_core.files.text_table import read_text_table_record
from tests.text_tables import TextTable, read_text_table, write_text_table

RECORD: Record = {
    "stage": "text_embeddings",
    "schema": 1,
    "params": {"name": "hashing"},
    "inputs": {},
    "upstream": {"image_captions 00-000": "0" * 64},
}


def table(**changes: Any) -> TextTable:
    rng = np.random.default_rng(0)
    values: dict[str, Any] = {
        "image_ids": ("00/000000/image_2", "00/000001/image_2", "00/000002/image_2"),
        "image_caption": np.array([1, -1, 0], np.int32),
        "caption_texts": ("a street", "a cafe\u0301 by the road"),
        "caption_offsets": np.array([0, 3, 8], np.int64),
        "caption_rows": rng.normal(size=(8, 4)).astype(np.float16),
        "caption_pooled": rng.normal(size=(2, 4)).astype(np.float16),
        "phrases": ("tree", "parked car", "house"),
        "phrase_rows": rng.normal(size=(3, 4)).astype(np.float16),
    }
    return TextTable(**values | changes)


def assert_equal(read: TextTable, written: TextTable) -> None:
    for field in dataclasses.fields(TextTable):
        ours, theirs = getattr(read, field.name), getattr(written, field.name)
        assert type(ours) is type(theirs)
        np.testing.assert_array_equal(ours, theirs)
        assert getattr(ours, "dtype", None) == getattr(theirs, "dtype", None)


def test_a_table_reads_back_as_it_was_written(tmp_path: Path) -> None:
    write_text_table(tmp_path / "texts.h5", table(), RECORD)
    assert_equal(read_text_table(tmp_path / "texts.h5"), table())
    assert read_text_table_record(tmp_path / "texts.h5") == RECORD


def test_a_table_without_any_text_is_a_table(tmp_path: Path) -> None:
    empty = table(
        image_caption=np.full(3, -1, np.int32),
        caption_texts=(),
        caption_offsets=np.zeros(1, np.int64),
        caption_rows=np.zeros((0, 4), np.float16),
        caption_pooled=np.zeros((0, 4), np.float16),
        phrases=(),
        phrase_rows=np.zeros((0, 4), np.float16),
    )
    write_text_table(tmp_path / "texts.h5", empty, RECORD)
    assert_equal(read_text_table(tmp_path / "texts.h5"), empty)


def test_equal_tables_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        write_text_table(tmp_path / name, table(), RECORD)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({"caption_offsets": np.array([0, 8], np.int64)}, "caption_offsets must be"),
        ({"caption_offsets": np.array([0, 8, 8], np.int64)}, "give every text a row"),
        ({"caption_offsets": np.array([1, 3, 8], np.int64)}, "must start at 0"),
        ({"image_caption": np.array([0, 1, 2], np.int32)}, r"must lie in \[-1, 2\)"),
        ({"image_caption": np.array([0, 1], np.int32)}, "image_caption must be"),
        ({"phrases": ("tree",)}, "phrase_rows must be"),
        ({"phrase_rows": np.zeros((3, 4), np.float32)}, "phrase_rows must be float16"),
        ({"phrase_rows": np.full((3, 4), np.nan, np.float16)}, "phrase_rows holds 12 non-finite values"),
    ],
)
def test_rows_that_do_not_fit_together_are_refused(
    changes: dict[str, Any], pattern: str, tmp_path: Path
) -> None:
    with pytest.raises(CorruptArtifact, match=pattern):
        write_text_table(tmp_path / "texts.h5", table(**changes), RECORD)
    assert not (tmp_path / "texts.h5").exists()


def test_a_flipped_byte_is_noticed_or_harmless(tmp_path: Path) -> None:
    path, damaged = tmp_path / "texts.h5", tmp_path / "damaged.h5"
    write_text_table(path, table(), RECORD)
    good, rng, noticed = path.read_bytes(), np.random.default_rng(0), 0
    for offset in rng.choice(len(good), 60, replace=False):
        bad = bytearray(good)
        bad[offset] ^= int(rng.integers(1, 256))
        damaged.unlink(missing_ok=True)  # HDF5 takes a file for one that it still holds by its inode
        damaged.write_bytes(bad)
        try:
            assert_equal(read_text_table(damaged), table())
            assert read_text_table_record(damaged) == RECORD
        except CorruptArtifact as error:
            noticed += 1
            assert "damaged.h5" in str(error) and 'run "make captions"' in str(error)
    assert noticed > 30


def test_a_missing_table_and_another_file_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifact, match=r'texts\.h5 is missing; run "make captions"'):
        read_text_table(tmp_path / "texts.h5")
    (tmp_path / "texts.h5").write_text("not HDF5")
    with pytest.raises(CorruptArtifact, match="delete it and run"):
        read_text_table_record(tmp_path / "texts.h5")


def test_a_pair_shard_is_no_text_table(tmp_path: Path) -> None:
    from lass3d_core.files.shards import ShardHeader, ShardReader, write_shard

    header = ShardHeader(
        "street", "00-000", "train", ("road",), ((0, 0, 0),), (40,), ("remission",), RECORD, "x"
    )
    write_shard(tmp_path / "s.h5", header, [])
    with pytest.raises(StaleArtifact, match="holds 'lass3d pairs', not 'lass3d text table'"):
        read_text_table(tmp_path / "s.h5")
    assert ShardReader(tmp_path / "s.h5").scan_ids == ()
