"""The table of text rows that the stage `text_embeddings` writes and the trainer reads.

Pair shards name their images and phrases as strings; this table maps the strings to rows. So another text
encoder rewrites this one file and touches no shard. `docs/formats.md` describes the file for readers without
us.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lass3d_core.atomic import whole_file
from lass3d_core.checked_hdf5 import CheckedFile, create, write_array, write_attributes, write_texts
from lass3d_core.checked_json import parse_json
from lass3d_core.errors import CorruptArtifact, DataError
from lass3d_core.fingerprint import Record, as_record, canonical_json, digest

SCHEMA = 1
KIND = "lass3d text table"
_REMEDY = 'run "make captions"'


@dataclass(frozen=True)
class TextTable:
    """Rows of every text that the pairs may name. I images, T unique captions, R rows, P phrases, D
    dimensions.

    image_ids: I of them. image_caption (I,) int32: the caption of each, -1 where captioning failed.
    caption_texts: T. caption_offsets (T+1,) int64: caption t owns
    caption_rows[caption_offsets[t]:caption_offsets[t+1]]. caption_rows (R,D) float16 token-level rows;
    caption_pooled (T,D) float16 one row per caption. phrases: P unique entity phrases; phrase_rows (P,D)
    float16 one pooled row each.
    """

    image_ids: tuple[str, ...]
    image_caption: np.ndarray
    caption_texts: tuple[str, ...]
    caption_offsets: np.ndarray
    caption_rows: np.ndarray
    caption_pooled: np.ndarray
    phrases: tuple[str, ...]
    phrase_rows: np.ndarray

    def __post_init__(self) -> None:
        captions, dim = self.caption_pooled.shape
        _check(self.image_caption, "image_caption", (len(self.image_ids),), np.int32)
        _check(self.caption_offsets, "caption_offsets", (captions + 1,), np.int64)
        _check(self.caption_rows, "caption_rows", (len(self.caption_rows), dim), np.float16)
        _check(self.caption_pooled, "caption_pooled", (len(self.caption_texts), dim), np.float16)
        _check(self.phrase_rows, "phrase_rows", (len(self.phrases), dim), np.float16)
        offsets = self.caption_offsets
        if offsets[0] != 0 or offsets[-1] != len(self.caption_rows) or np.any(np.diff(offsets) < 1):
            raise DataError(
                "caption_offsets must start at 0, give every caption a row and end at the number of rows"
            )
        if (
            self.image_caption.size
            and not -1 <= self.image_caption.min() <= self.image_caption.max() < captions
        ):
            raise DataError(f"image_caption must lie in [-1, {captions})")


def write_text_table(path: Path, table: TextTable, record: Record) -> None:
    """Write `table` and what it was made from; read back and compared before it takes its name.

    Raises StorageError, CorruptArtifact.
    """
    with whole_file(path) as part:
        with create(part) as file:
            for name in _TEXTS:
                write_texts(file, name, getattr(table, name))
            for name in _ARRAYS:
                write_array(file, name, getattr(table, name))
            write_array(file, "record", np.frombuffer(canonical_json(record).encode(), np.uint8))
            write_attributes(file, {"kind": KIND, "schema": SCHEMA, "fingerprint": digest(record)})
        again = read_text_table(part)
        if any(getattr(again, name) != getattr(table, name) for name in _TEXTS) or any(
            not np.array_equal(getattr(again, name), getattr(table, name)) for name in _ARRAYS
        ):
            raise CorruptArtifact(f"{path}: the table reads back differently; check the disk")


def read_text_table(path: Path) -> TextTable:
    """The whole table, its checksums verified. Raises MissingArtifact, StaleArtifact, CorruptArtifact."""
    file = CheckedFile(path, KIND, SCHEMA, _REMEDY)
    try:
        return TextTable(
            image_ids=file.texts("image_ids"),
            image_caption=file.array("image_caption"),
            caption_texts=file.texts("caption_texts"),
            caption_offsets=file.array("caption_offsets"),
            caption_rows=file.array("caption_rows"),
            caption_pooled=file.array("caption_pooled"),
            phrases=file.texts("phrases"),
            phrase_rows=file.array("phrase_rows"),
        )
    except DataError as error:
        raise file.corrupt("the table", str(error)) from None
    finally:
        file.close()


def read_text_table_record(path: Path) -> Record:
    """What the table was made from; its `digest` is the table's fingerprint. Raises as above."""
    file = CheckedFile(path, KIND, SCHEMA, _REMEDY)
    try:
        record = as_record(parse_json(file.array("record").tobytes()))
        if digest(record) != file.attribute("fingerprint"):
            raise file.corrupt("record", "it does not belong to the fingerprint")
        return record
    except ValueError as error:
        raise file.corrupt("record", str(error)) from None
    finally:
        file.close()


_TEXTS = ("image_ids", "caption_texts", "phrases")
_ARRAYS = ("image_caption", "caption_offsets", "caption_rows", "caption_pooled", "phrase_rows")


def _check(array: np.ndarray, name: str, shape: tuple[int, ...], dtype: type) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise DataError(f"{name} must be {np.dtype(dtype)} {shape}, got {array.dtype} {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"{name} holds NaN or infinity")
