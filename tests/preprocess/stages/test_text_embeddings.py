from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lass3d_core.files.fingerprint import Record
from lass3d_core.records import TextRows
from preprocess.lvm.hashing import HashingEncoder, HashingParams
from preprocess.stages.text_embeddings import BATCH, DIM_WITHOUT_TEXT, OldTable, write_table
from tests.text_tables import read_text_table

CAPTIONS = {"a": "a car on a road", "b": None, "c": "a tree", "d": "a car on a road"}
RECORD: Record = {
    "stage": "text_embeddings",
    "schema": 1,
    "params": {"encoder": "hashing"},
    "inputs": {},
    "upstream": {},
}


class Listening:
    """The real encoder, which also remembers what it was asked."""

    def __init__(self) -> None:
        self._encoder = HashingEncoder(HashingParams())
        self.asked: list[str] = []
        self.cut = 0

    def encode(self, texts: Sequence[str]) -> TextRows:
        self.asked += texts
        return self._encoder.encode(texts)


def written(path: Path, captions: dict[str, str | None], *phrases: str) -> list[str]:
    """Write the table at `path`; the texts that were encoded for it."""
    encoder = Listening()
    write_table(path, RECORD, encoder, captions, phrases, lambda count: None)
    return encoder.asked


def test_every_distinct_text_is_encoded_once_and_a_failed_caption_not_at_all(tmp_path: Path) -> None:
    asked = written(tmp_path / "t.h5", CAPTIONS, "car", "tree")
    made = read_text_table(tmp_path / "t.h5")
    assert sorted(asked) == ["a car on a road", "a tree", "car", "tree"]
    assert made.image_caption.tolist() == [0, -1, 1, 0]
    assert (made.caption_texts, made.phrases) == (("a car on a road", "a tree"), ("car", "tree"))


def test_rows_are_those_of_the_encoder(tmp_path: Path) -> None:
    written(tmp_path / "t.h5", CAPTIONS, "car", "tree")
    made = read_text_table(tmp_path / "t.h5")
    captions = HashingEncoder(HashingParams()).encode(made.caption_texts)
    phrases = HashingEncoder(HashingParams()).encode(made.phrases)
    assert np.array_equal(made.caption_offsets, captions.offsets)
    assert np.array_equal(made.caption_rows, captions.rows.astype(np.float16))
    assert np.array_equal(made.caption_pooled, captions.pooled.astype(np.float16))
    assert np.array_equal(made.phrase_rows, phrases.pooled.astype(np.float16))


def test_only_new_texts_are_encoded_and_the_table_is_that_of_a_fresh_start(tmp_path: Path) -> None:
    written(tmp_path / "t.h5", CAPTIONS, "car", "tree")
    captions = {**CAPTIONS, "b": "a pole"}
    assert sorted(written(tmp_path / "t.h5", captions, "bus", "tree")) == ["a pole", "bus"]
    written(tmp_path / "fresh.h5", captions, "bus", "tree")
    assert (tmp_path / "t.h5").read_bytes() == (tmp_path / "fresh.h5").read_bytes()


def test_more_texts_than_are_encoded_together_stand_in_order(tmp_path: Path) -> None:
    captions: dict[str, str | None] = {str(number): f"pole {number}" for number in range(2 * BATCH + 3)}
    written(tmp_path / "t.h5", captions)
    made = read_text_table(tmp_path / "t.h5")
    assert made.caption_texts == tuple(sorted(filter(None, captions.values())))
    assert np.array_equal(made.caption_offsets, np.arange(0, 3 * len(captions) + 1, 3))


def test_without_phrases_the_table_has_none(tmp_path: Path) -> None:
    written(tmp_path / "t.h5", CAPTIONS)
    assert read_text_table(tmp_path / "t.h5").phrase_rows.shape == (0, HashingParams().dim)


@pytest.mark.parametrize("captions", [{}, {"a": None}])
def test_without_any_text_the_table_has_no_row_and_needs_no_encoder(
    captions: dict[str, str | None], tmp_path: Path
) -> None:
    write_table(tmp_path / "t.h5", RECORD, None, captions, (), lambda count: None)
    made = read_text_table(tmp_path / "t.h5")
    assert made.image_ids == tuple(captions) and made.image_caption.tolist() == [-1] * len(captions)
    assert made.caption_texts == made.phrases == ()
    assert made.caption_rows.shape == made.phrase_rows.shape == (0, DIM_WITHOUT_TEXT)


def test_phrases_are_encoded_though_every_caption_failed(tmp_path: Path) -> None:
    assert written(tmp_path / "t.h5", {"a": None}, "car") == ["car"]
    made = read_text_table(tmp_path / "t.h5")
    assert made.caption_rows.shape == (0, HashingParams().dim) and made.phrase_rows.any()


def test_the_first_texts_come_into_a_table_that_had_none(tmp_path: Path) -> None:
    write_table(tmp_path / "t.h5", RECORD, None, {}, (), lambda count: None)
    assert written(tmp_path / "t.h5", {"c": "a tree"}, "tree") == ["tree", "a tree"]
    assert len(read_text_table(tmp_path / "t.h5").caption_rows) == 2


OTHERS: dict[str, Any] = {
    "of another encoder": {"params": {"encoder": "open_clip"}},
    "of another schema": {"schema": 2},
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_table_before_is_not_used_if(what: str, tmp_path: Path) -> None:
    written(tmp_path / "t.h5", CAPTIONS, "car")
    assert OldTable.at(tmp_path / "t.h5", RECORD).phrases().keys() == {"car"}
    before = OldTable.at(tmp_path / "t.h5", {**RECORD, **OTHERS[what]})
    assert before.phrases() == before.captions(["a tree"]) == {}


def test_a_table_before_with_other_upstream_texts_is_used(tmp_path: Path) -> None:
    written(tmp_path / "t.h5", CAPTIONS, "car")
    before = OldTable.at(tmp_path / "t.h5", {**RECORD, "upstream": {"image_captions 00-000": "other"}})
    assert before.captions(["a tree", "a pole"]).keys() == {"a tree"}


def test_a_damaged_table_before_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "t.h5"
    written(path, CAPTIONS, "car")
    path.write_bytes(path.read_bytes()[:-100])
    assert len(written(path, CAPTIONS, "car")) == 3


def test_rows_that_are_damaged_are_encoded_anew(tmp_path: Path) -> None:
    path = tmp_path / "t.h5"
    written(path, CAPTIONS, "car")
    good = path.read_bytes()
    rows = read_text_table(path).caption_rows.tobytes()
    path.write_bytes(good.replace(rows, rows[:-1] + b"\x00"))
    assert sorted(written(path, CAPTIONS, "car")) == ["a car on a road", "a tree"]
    assert path.read_bytes() == good
