"""Stage `text_embeddings`: rows of every caption (E_i) and every entity phrase (E_e) that the pairs may name.

One table for the whole data set. Decision: a caption keeps all its token-level rows, since attention over a
single key is no attention; a phrase keeps its pooled row, which is added to its points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from lass3d_core.errors import CorruptArtifact, DataError, MissingArtifact, StaleArtifact
from lass3d_core.files.fingerprint import Record
from lass3d_core.files.text_rows import CaptionRows, TextNames, TextRowsFile, write_text_rows
from lass3d_core.files.text_table import read_text_table_record
from preprocess.lvm import TextEncoder, identity_of, load_encoder
from preprocess.project import Failure, Job, Make, Project, Tick
from preprocess.stages import entities, image_captions
from preprocess.stages.jsonl_shards import read_digest

NAME = "text_embeddings"
SCHEMA = 1
BATCH = 256

Rows = tuple[np.ndarray, np.ndarray]
"""Of one text: its token-level rows (n,D) and its pooled row (D,), float16."""


def record(project: Project) -> Record:
    """What the table is made from: the encoder, the captions' sentences and the entities' phrases."""
    upstream = {}
    for stage, aspect in ((image_captions.NAME, "texts"), (entities.NAME, "phrases")):
        for block in project.blocks:
            shard = project.folder / stage / f"{block.name}.jsonl"
            upstream[f"{stage} {block.name}"] = read_digest(shard, aspect)
    return Record(stage=NAME, schema=SCHEMA, params=encoder_params(project), inputs={}, upstream=upstream)


def encoder_params(project: Project) -> dict[str, Any]:
    """The manifest's encoder and what of its parameters decides the rows."""
    spec = project.manifest.text_embeddings
    return {"encoder": spec.name, "encoder params": identity_of(NAME, spec)}


def opened(project: Project) -> Make:
    """Load the encoder; the returned function makes the table, encoding what the one before it lacks."""
    encoder = load_encoder(project.manifest.text_embeddings)

    def make(job: Job, tick: Tick) -> list[Failure]:
        captions, phrases = texts_of(project)
        write_table(job.path, job.record, encoder, captions, phrases, tick)
        if encoder.cut:
            tqdm.write(f"{NAME}: {encoder.cut} texts lost their end, longer than the encoder's window")
        return []

    return make


def texts_of(project: Project) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """image_id -> its caption, None where captioning failed; and every entity phrase, ascending."""
    captions: dict[str, str | None] = {}
    phrases: set[str] = set()
    for block in project.blocks:
        captions |= image_captions.captions_in(project.folder / image_captions.NAME / f"{block.name}.jsonl")
        found = entities.entities_in(project.folder / entities.NAME / f"{block.name}.jsonl")
        phrases |= {entity.phrase for of_image in found.values() for entity in of_image}
    return captions, tuple(sorted(phrases))


def write_table(
    path: Path,
    record: Record,
    encoder: TextEncoder,
    captions: dict[str, str | None],
    phrases: tuple[str, ...],
    tick: Tick,
) -> None:
    """Encode each distinct text once, and none whose rows are in the table that lies at `path` before.

    The rows of the captions are written as they are encoded. Raises DataError when no image has a caption.
    """
    texts = tuple(sorted({text for text in captions.values() if text is not None}))
    if not texts:
        raise DataError("no image has a caption; see the failures of image_captions")
    before = TableBefore.at(path, record)
    rows_of = before.phrases()
    rows_of |= _encoded(encoder, [phrase for phrase in phrases if phrase not in rows_of], tick)
    number_of = {text: number for number, text in enumerate(texts)}
    image_caption = np.array([number_of.get(text, -1) for text in captions.values()], np.int32)
    parts = _caption_rows(encoder, texts, before, tick)
    first = next(parts)
    phrase_rows = np.stack([first.pooled[0], *(rows_of[phrase][1] for phrase in phrases)])[1:]
    names = TextNames(tuple(captions), image_caption, texts, phrases)
    write_text_rows(path, names, chain([first], parts), phrase_rows, record)


class TableBefore:
    """The table that is there already, if it is of the same encoder: its rows need no second look."""

    def __init__(self, table: TextRowsFile | None) -> None:
        self._table = table
        self._number_of = {text: number for number, text in enumerate(table.caption_texts if table else ())}

    @classmethod
    def at(cls, path: Path, wanted: Record) -> TableBefore:
        """The table at `path`; none where it is missing, damaged or of another encoder."""
        try:
            made = read_text_table_record(path)
            same = (made["params"], made["schema"]) == (wanted["params"], wanted["schema"])
            return cls(TextRowsFile(path) if same else None)
        except (MissingArtifact, StaleArtifact, CorruptArtifact):
            return cls(None)

    def captions(self, texts: Sequence[str]) -> dict[str, Rows]:
        """The rows of those of `texts` that it holds; none where it is damaged there."""
        known = [text for text in texts if text in self._number_of]
        if self._table is None or not known:
            return {}
        try:
            some = self._table.captions([self._number_of[text] for text in known])
        except CorruptArtifact:
            return {}
        return dict(zip(known, zip(some.blocks, some.pooled)))

    def phrases(self) -> dict[str, Rows]:
        """The row of each phrase that it holds; none where it is damaged."""
        try:
            rows = dict(zip(self._table.phrases, self._table.phrase_rows)) if self._table else {}
        except CorruptArtifact:
            return {}
        return {phrase: (row[None], row) for phrase, row in rows.items()}


def _caption_rows(
    encoder: TextEncoder, texts: Sequence[str], before: TableBefore, tick: Tick
) -> Iterator[CaptionRows]:
    """The rows of every text in order, so many at a time as are encoded together."""
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        rows_of = before.captions(batch)
        rows_of |= _encoded(encoder, [text for text in batch if text not in rows_of], tick)
        blocks, pooled = zip(*(rows_of[text] for text in batch))
        yield CaptionRows.of(blocks, pooled, len(pooled[0]))


def _encoded(encoder: TextEncoder, texts: Sequence[str], tick: Tick) -> dict[str, Rows]:
    """The rows of every text, encoded in batches."""
    rows: dict[str, Rows] = {}
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        part = encoder.encode(batch)
        tokens = np.split(part.rows.astype(np.float16), part.offsets[1:-1])
        rows |= dict(zip(batch, zip(tokens, part.pooled.astype(np.float16))))
        tick(len(batch))
    return rows
