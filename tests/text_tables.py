"""A whole table of text rows in memory, written and read by the code under test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lass3d_core.files.fingerprint import Record
from lass3d_core.files.text_table import CaptionRows, TextNames, TextRowsFile, write_text_rows


@dataclass(frozen=True)
class TextTable:
    """The rows of I images, T captions with R token-level rows, and P phrases, each of D numbers.

    caption_offsets (T+1,) int64: caption t owns caption_rows[caption_offsets[t]:caption_offsets[t+1]].
    """

    image_ids: tuple[str, ...]
    image_caption: np.ndarray  # (I,) int32
    caption_texts: tuple[str, ...]
    caption_offsets: np.ndarray
    caption_rows: np.ndarray  # (R,D) float16
    caption_pooled: np.ndarray  # (T,D) float16
    phrases: tuple[str, ...]
    phrase_rows: np.ndarray  # (P,D) float16


def write_text_table(path: Path, table: TextTable, record: Record) -> None:
    names = TextNames(table.image_ids, table.image_caption, table.caption_texts, table.phrases)
    lengths = np.diff(table.caption_offsets)
    captions = [CaptionRows(table.caption_rows, lengths, table.caption_pooled)] if len(lengths) else []
    write_text_rows(path, names, captions, table.phrase_rows, record)


def read_text_table(path: Path) -> TextTable:
    file = TextRowsFile(path)
    try:
        captions = file.captions(range(len(file.caption_texts)))
        return TextTable(
            image_ids=file.image_ids,
            image_caption=file.image_caption,
            caption_texts=file.caption_texts,
            caption_offsets=np.cumsum([0, *captions.lengths]),
            caption_rows=captions.rows,
            caption_pooled=captions.pooled,
            phrases=file.phrases,
            phrase_rows=file.phrase_rows,
        )
    finally:
        file.close()
