from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lass3d_core.errors import DataError
from lass3d_core.fingerprint import Record
from lass3d_core.records import TextRows
from lass3d_core.text_table import TextTable, write_text_table
from preprocess.lvm.hashing import HashingEncoder, HashingParams
from preprocess.text_embeddings import table_before, table_of

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


def table(captions: dict[str, str | None], *phrases: str, known: TextTable | None = None) -> TextTable:
    return table_of(HashingEncoder(HashingParams()), captions, phrases, known, lambda count: None)


def same(one: TextTable, other: TextTable) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in vars(one))


def test_every_distinct_text_is_encoded_once_and_a_failed_caption_not_at_all() -> None:
    encoder = Listening()
    made = table_of(encoder, CAPTIONS, ("car", "tree"), None, lambda count: None)
    assert encoder.asked == ["a car on a road", "a tree", "car", "tree"]
    assert made.image_caption.tolist() == [0, -1, 1, 0]
    assert len(made.caption_rows) == made.caption_offsets[-1]


def test_only_new_texts_are_encoded_and_the_table_is_that_of_a_fresh_start() -> None:
    before = table(CAPTIONS, "car", "tree")
    encoder = Listening()
    captions = {**CAPTIONS, "b": "a pole"}
    after = table_of(encoder, captions, ("bus", "tree"), before, lambda count: None)
    assert encoder.asked == ["a pole", "bus"]
    assert same(after, table(captions, "bus", "tree"))


def test_without_phrases_the_table_has_none() -> None:
    assert table(CAPTIONS).phrase_rows.shape == (0, HashingParams().dim)


def test_without_any_caption_there_is_no_table() -> None:
    with pytest.raises(DataError, match="no image has a caption"):
        table({"a": None})


def test_the_table_before_is_that_of_the_same_encoder(tmp_path: Path) -> None:
    path, made = tmp_path / "text_embeddings.h5", table(CAPTIONS, "car")
    assert table_before(path, RECORD) is None
    write_text_table(path, made, RECORD)
    upstream: Any = {"image_captions 00-000": "other"}
    found = table_before(path, {**RECORD, "upstream": upstream})
    assert found is not None and same(found, made)
    assert table_before(path, {**RECORD, "params": {"encoder": "open_clip"}}) is None
    assert table_before(path, {**RECORD, "schema": 2}) is None


def test_a_damaged_table_before_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "text_embeddings.h5"
    write_text_table(path, table(CAPTIONS, "car"), RECORD)
    path.write_bytes(path.read_bytes()[:-100])
    assert table_before(path, RECORD) is None
