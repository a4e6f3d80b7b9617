"""A whole table of text rows in memory. The stage `text_embeddings` writes the table, the trainer reads it.

Pair shards name their images and phrases as strings, and the table maps the strings to rows. So a change of
the text encoder rewrites this one file and no shard. `docs/formats.md` describes the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lass3d_core.errors import DataError
from lass3d_core.files.fingerprint import Record, as_record, digest
from lass3d_core.files.hdf5_reader import Hdf5Reader
from lass3d_core.files.json_files import parse_json
from lass3d_core.files.text_checks import check_array, check_image_caption, check_offsets
from lass3d_core.files.text_rows import (
    KIND,
    REMEDY,
    SCHEMA,
    CaptionRows,
    TextNames,
    write_text_rows,
)

TEXT_TABLE = "text_embeddings.h5"
"""The table's name among the artifacts of a data set."""


@dataclass(frozen=True)
class TextTable:
    """The rows of all texts that pairs may name.

    I images, T unique captions, R token-level rows, P unique entity phrases, D dimensions.
    image_ids: I of them.
    image_caption (I,) int32: the caption of each image, -1 if captioning failed.
    caption_texts: T of them.
    caption_offsets (T+1,) int64: caption t owns caption_rows[caption_offsets[t]:caption_offsets[t+1]].
    caption_rows (R,D) float16: token-level rows.
    caption_pooled (T,D) float16: one row per caption.
    phrases: P of them.
    phrase_rows (P,D) float16: one pooled row per phrase.
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
        check_image_caption(self.image_caption, len(self.image_ids), captions)
        check_offsets(self.caption_offsets, captions, len(self.caption_rows))
        check_array(self.caption_rows, "caption_rows", (len(self.caption_rows), dim), np.float16)
        check_array(self.caption_pooled, "caption_pooled", (len(self.caption_texts), dim), np.float16)
        check_array(self.phrase_rows, "phrase_rows", (len(self.phrases), dim), np.float16)


def write_text_table(path: Path, table: TextTable, record: Record) -> None:
    """Write `table` and its record. It is read back and compared before it gets its name.

    Raises StorageError, CorruptArtifact.
    """
    names = TextNames(table.image_ids, table.image_caption, table.caption_texts, table.phrases)
    lengths = np.diff(table.caption_offsets)
    captions = [CaptionRows(table.caption_rows, lengths, table.caption_pooled)] if len(lengths) else []
    write_text_rows(path, names, captions, table.phrase_rows, record)


def read_text_table(path: Path) -> TextTable:
    """Read the table and verify its checksums. Raises MissingArtifact, StaleArtifact, CorruptArtifact."""
    file = Hdf5Reader(path, KIND, SCHEMA, REMEDY)
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
    """Read what the table was made from. Raises MissingArtifact, StaleArtifact, CorruptArtifact.

    The digest of this record is the table's fingerprint.
    """
    file = Hdf5Reader(path, KIND, SCHEMA, REMEDY)
    try:
        record = as_record(parse_json(file.array("record").tobytes()))
        if digest(record) != file.attribute("fingerprint"):
            raise file.corrupt("record", "it does not belong to the fingerprint")
        return record
    except ValueError as error:
        raise file.corrupt("record", str(error)) from None
    finally:
        file.close()
