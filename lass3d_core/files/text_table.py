"""The table of text rows. The stage `text_embeddings` writes it, the trainer reads it.

Pair shards name their images and phrases as strings, and the table maps the strings to rows. So a change of
the text encoder rewrites this one file and no shard. A caption takes about thirty rows of 512 float16: 0.7 GB
for SemanticKITTI, 6 GB for nuScenes. So rows are written as they are encoded, and read one caption at a time.
`docs/formats.md` describes the file.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from lass3d_core.errors import CorruptArtifact, DataError
from lass3d_core.files.atomic import atomic_write
from lass3d_core.files.fingerprint import Record, as_record, canonical_json, digest
from lass3d_core.files.hdf5_reader import Hdf5Reader
from lass3d_core.files.hdf5_writer import LargeFile, text_array, write_attributes
from lass3d_core.files.json_files import parse_json
from lass3d_core.records import NONE, check_array, check_offsets

TEXT_TABLE = "text_embeddings.h5"  # the table's name among the artifacts of a data set
_FORMAT = ("lass3d text table", 1, 'run "make captions"')  # kind, schema, how to make the file again


@dataclass(frozen=True)
class CaptionRows:
    """The rows of n captions."""

    rows: np.ndarray  # (R,D) float16: token-level rows, one caption after the other
    lengths: np.ndarray  # (n,) int64: number of rows of each caption
    pooled: np.ndarray  # (n,D) float16: one row per caption

    @classmethod
    def of(cls, blocks: Sequence[np.ndarray], pooled: Sequence[np.ndarray], dim: int) -> CaptionRows:
        """From each caption's token-level rows (n,D) and pooled row (D,)."""
        none = np.zeros((0, dim), np.float16)
        lengths = np.array([len(block) for block in blocks], np.int64)
        return cls(np.concatenate([none, *blocks]), lengths, np.stack(pooled) if len(pooled) else none)

    @property
    def blocks(self) -> list[np.ndarray]:
        """The token-level rows (n,D) of each caption."""
        return np.split(self.rows, np.cumsum(self.lengths)[:-1])


@dataclass(frozen=True)
class TextNames:
    """The I images, T distinct captions and P distinct phrases of a table."""

    image_ids: Sequence[str]
    image_caption: np.ndarray  # (I,) int32: the caption of each image, -1 if captioning failed
    caption_texts: Sequence[str]
    phrases: Sequence[str]


def write_text_rows(
    path: Path, names: TextNames, captions: Iterable[CaptionRows], phrase_rows: np.ndarray, record: Record
) -> None:
    """Write the table, whose rows come some captions at a time, and its record.

    captions: the rows of all captions, in order. phrase_rows (P,D) float16.
    The file is read back and compared before it gets its name. Raises StorageError, CorruptArtifact.
    """
    offsets, checksum = [np.zeros(1, np.int64)], 0
    with atomic_write(path) as part:
        with LargeFile(part) as file:
            for some in captions:
                file.append("caption_rows", some.rows)
                file.append("caption_pooled", some.pooled)
                offsets.append(offsets[-1][-1] + np.cumsum(some.lengths))
                checksum = zlib.crc32(some.rows.tobytes() + some.pooled.tobytes(), checksum)
            if len(offsets) == 1:
                file.write_array("caption_rows", phrase_rows[:0])
                file.write_array("caption_pooled", phrase_rows[:0])
            for name in ("image_ids", "caption_texts", "phrases"):
                file.write_array(name, text_array(getattr(names, name)))
            file.write_array("image_caption", names.image_caption)
            file.write_array("caption_offsets", np.concatenate(offsets))
            file.write_array("phrase_rows", phrase_rows)
            file.write_array("record", np.frombuffer(canonical_json(record).encode(), np.uint8))
            kind, schema, _ = _FORMAT
            write_attributes(file.file, {"kind": kind, "schema": schema, "fingerprint": digest(record)})
        counts = [len(offset) for offset in offsets[1:]]
        if not _reads_back(TextRowsFile(part), names, counts, checksum, phrase_rows):
            raise CorruptArtifact(f"{path}: the table reads back differently; check the disk")


class TextRowsFile:
    """Reads a table. Rows of captions are read on demand; names and phrase rows are read once and cached.

    The cache takes some hundred bytes per image and a row per phrase. The file is opened at the first read,
    and opened again in every process that inherits it.
    Every member raises MissingArtifact, StaleArtifact or CorruptArtifact.
    """

    def __init__(self, path: Path) -> None:
        self._file = Hdf5Reader(path, *_FORMAT)
        self.close = self._file.close  # a later read opens the file again

    @cached_property
    def dim(self) -> int:
        """D, the length of a row."""
        return self._file.shape("phrase_rows")[1]

    @cached_property
    def image_ids(self) -> tuple[str, ...]:
        """The I image ids."""
        return self._file.texts("image_ids")

    @cached_property
    def image_caption(self) -> np.ndarray:
        """(I,) int32: the caption of each image, -1 if captioning failed."""
        found, captions = self._file.array("image_caption"), self._file.shape("caption_pooled")[0]
        with self._file.checks("image_caption"):
            check_array(found, "image_caption", (len(self.image_ids),), np.int32)
            if found.size and not NONE <= found.min() <= found.max() < captions:
                raise DataError(f"image_caption must lie in [-1, {captions})")
        return found

    @cached_property
    def caption_texts(self) -> tuple[str, ...]:
        """The T distinct captions."""
        return self._file.texts("caption_texts")

    @cached_property
    def phrases(self) -> tuple[str, ...]:
        """The P distinct phrases."""
        return self._file.texts("phrases")

    @cached_property
    def phrase_rows(self) -> np.ndarray:
        """(P,D) float16: one row per phrase."""
        found = self._file.array("phrase_rows")
        with self._file.checks("phrase_rows"):
            check_array(found, "phrase_rows", (len(self.phrases), self.dim), np.float16)
        return found

    def captions(self, numbers: Sequence[int]) -> CaptionRows:
        """Read the rows of the captions `numbers`, in that order."""
        ends = [(int(self._offsets[number]), int(self._offsets[number + 1])) for number in numbers]
        blocks = [self._file.rows("caption_rows", start, end) for start, end in ends]
        pooled = [self._file.rows("caption_pooled", number, number + 1)[0] for number in numbers]
        with self._file.checks("caption_rows"):
            for (start, end), block, row in zip(ends, blocks, pooled):
                check_array(block, "caption_rows", (end - start, self.dim), np.float16)
                check_array(row, "caption_pooled", (self.dim,), np.float16)
        return CaptionRows.of(blocks, pooled, self.dim)

    @cached_property
    def _offsets(self) -> np.ndarray:
        """(T+1,) int64: caption t owns the rows _offsets[t] to _offsets[t+1] - 1."""
        found, texts = self._file.array("caption_offsets"), self._file.shape("caption_pooled")[0]
        with self._file.checks("caption_offsets"):
            check_offsets(found, "caption_offsets", texts, self._file.shape("caption_rows")[0])
        return found


def read_text_table_record(path: Path) -> Record:
    """Read what the table was made from; the digest of it is the table's fingerprint."""
    file = Hdf5Reader(path, *_FORMAT)
    try:
        record = as_record(parse_json(file.array("record").tobytes()))
        if digest(record) != file.attribute("fingerprint"):
            raise file.corrupt("record", "it does not belong to the fingerprint")
        return record
    except ValueError as error:
        raise file.corrupt("record", str(error)) from None
    finally:
        file.close()


def _reads_back(
    table: TextRowsFile, names: TextNames, counts: Sequence[int], checksum: int, phrase_rows: np.ndarray
) -> bool:
    """Whether the file holds what was written. counts: numbers of captions that were written together."""
    try:
        again, start = 0, 0
        for count in counts:
            some = table.captions(range(start, start + count))
            again = zlib.crc32(some.rows.tobytes() + some.pooled.tobytes(), again)
            start += count
        same_names = all(
            tuple(getattr(table, name)) == tuple(getattr(names, name))
            for name in ("image_ids", "caption_texts", "phrases")
        )
        same_rows = again == checksum and np.array_equal(table.phrase_rows, phrase_rows)
        return same_names and same_rows and np.array_equal(table.image_caption, names.image_caption)
    finally:
        table.close()
