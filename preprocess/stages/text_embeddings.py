"""Stage `text_embeddings`: the text table, with rows of every caption (E_i) and every entity phrase (E_e).

There is one table for the whole data set.
Decision: a caption keeps all its token-level rows, because attention over a single key is no attention. A
phrase keeps its pooled row, which is added to its points.
Decision: without any text the encoder, which may be large, is not loaded. Then nobody knows the length of its
rows, and the table has no row of a fixed length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from tqdm import tqdm

from lass3d_core.errors import CorruptArtifact, MissingArtifact, StaleArtifact
from lass3d_core.files.fingerprint import Record
from lass3d_core.files.text_table import (
    CaptionRows,
    TextNames,
    TextRowsFile,
    read_text_table_record,
    write_text_rows,
)
from lass3d_core.manifest.schema import Manifest
from lass3d_core.pool import OnProgress
from preprocess.lvm import TextEncoder, identity_of, load_encoder
from preprocess.project import Project
from preprocess.stages import entities, image_captions
from preprocess.stages.jsonl_shards import read_digest
from preprocess.stages.stage import Failure, Job, MakeShard, Stage, Stored

NAME: Final = "text_embeddings"
SCHEMA = 1
BATCH = 256
DIM_WITHOUT_TEXT = 64  # divisible by the number of heads that attend to texts

Rows = tuple[np.ndarray, np.ndarray]
"""The rows of one text, float16: token-level (n,D) and pooled (D,)."""


def needs(manifest: Manifest) -> tuple[str, ...]:
    """The stages whose texts are encoded."""
    return image_captions.NAME, entities.NAME


def fingerprint_record(project: Project, block: None = None) -> Record:
    """What the table is made from: the encoder, the sentences of captions and the phrases of entities."""
    upstream = {
        f"{stage.name} {each.name}": read_digest(stage.path_of(project, each), aspect)
        for stage, aspect in ((image_captions.STAGE, "texts"), (entities.STAGE, "phrases"))
        for each in project.blocks
    }
    return Record(stage=NAME, schema=SCHEMA, params=encoder_params(project), inputs={}, upstream=upstream)


def encoder_params(project: Project) -> dict[str, Any]:
    """The manifest's encoder, and its parameters that change the rows."""
    spec = project.manifest.text_embeddings
    return {"encoder": spec.name, "encoder params": identity_of(NAME, spec)}


def read_record(path: Path) -> Stored:
    """What the table on disk was made from."""
    return read_text_table_record(path), 0


def load(project: Project) -> MakeShard:
    """Return the function that makes the table. It loads the encoder, unless there is no text.

    Only what the old table lacks is encoded.
    """

    def make_shard(job: Job, on_progress: OnProgress) -> list[Failure]:
        captions, phrases = texts_of(project)
        there_is_text = bool(phrases) or any(text is not None for text in captions.values())
        encoder = load_encoder(project.manifest.text_embeddings) if there_is_text else None
        write_table(job.path, job.record, encoder, captions, phrases, on_progress)
        if encoder is not None and encoder.cut:
            tqdm.write(f"{NAME}: {encoder.cut} texts were cut: they are longer than the encoder's window")
        return []

    return make_shard


def texts_of(project: Project) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """Map each image_id to its caption, None if captioning failed; and list the entity phrases, ascending."""
    captions: dict[str, str | None] = {}
    phrases: set[str] = set()
    for block in project.blocks:
        captions |= image_captions.captions_in(image_captions.STAGE.path_of(project, block))
        found = entities.entities_in(entities.STAGE.path_of(project, block))
        phrases |= {entity.phrase for of_image in found.values() for entity in of_image}
    return captions, tuple(sorted(phrases))


def write_table(
    path: Path,
    record: Record,
    encoder: TextEncoder | None,
    captions: dict[str, str | None],
    phrases: tuple[str, ...],
    on_progress: OnProgress,
) -> None:
    """Encode each distinct text once, and write the table.

    Rows that the old table at `path` holds are copied. The rows of the captions are written batch by batch.
    encoder: None if there is no text at all.
    """
    texts = tuple(sorted({text for text in captions.values() if text is not None}))
    old = OldTable.at(path, record)
    rows_of = old.phrases()
    rows_of |= _encoded(encoder, [phrase for phrase in phrases if phrase not in rows_of], on_progress)
    number_of = {None: -1} | {text: number for number, text in enumerate(texts)}
    image_caption = np.array([number_of[text] for text in captions.values()], np.int32)
    parts = _caption_rows(encoder, texts, old, on_progress)
    first = list(islice(parts, 1))
    pooled = [rows_of[phrase][1] for phrase in phrases]
    some_row = next(chain((part.pooled[0] for part in first), pooled), np.zeros(DIM_WITHOUT_TEXT, np.float16))
    names = TextNames(tuple(captions), image_caption, texts, phrases)
    write_text_rows(path, names, chain(first, parts), np.stack([some_row, *pooled])[1:], record)


class OldTable:
    """The rows of the old table, if the same encoder made it."""

    def __init__(self, table: TextRowsFile | None) -> None:
        self._table = table
        self._number_of = {text: number for number, text in enumerate(table.caption_texts if table else ())}

    @classmethod
    def at(cls, path: Path, wanted: Record) -> OldTable:
        """Open the table at `path`; no rows if it is missing, damaged or from another encoder."""
        with suppress(MissingArtifact, StaleArtifact, CorruptArtifact):
            made = read_text_table_record(path)
            if (made["params"], made["schema"]) == (wanted["params"], wanted["schema"]):
                return cls(TextRowsFile(path))
        return cls(None)

    def captions(self, texts: Sequence[str]) -> dict[str, Rows]:
        """The rows of the texts that the table holds; none if a checksum fails."""
        known = [text for text in texts if text in self._number_of]
        if self._table is None or not known:
            return {}
        with suppress(CorruptArtifact):
            some = self._table.captions([self._number_of[text] for text in known])
            return dict(zip(known, zip(some.blocks, some.pooled)))
        return {}

    def phrases(self) -> dict[str, Rows]:
        """The row of each phrase of the table; none if a checksum fails."""
        with suppress(CorruptArtifact):
            rows = zip(self._table.phrases, self._table.phrase_rows) if self._table else ()
            return {phrase: (row[None], row) for phrase, row in rows}
        return {}


def _caption_rows(
    encoder: TextEncoder | None, texts: Sequence[str], old: OldTable, on_progress: OnProgress
) -> Iterator[CaptionRows]:
    """Yield the rows of every text in order, one batch of the encoder at a time."""
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        rows_of = old.captions(batch)
        rows_of |= _encoded(encoder, [text for text in batch if text not in rows_of], on_progress)
        blocks, pooled = zip(*(rows_of[text] for text in batch))
        yield CaptionRows.of(blocks, pooled, len(pooled[0]))


def _encoded(encoder: TextEncoder | None, texts: Sequence[str], on_progress: OnProgress) -> dict[str, Rows]:
    """The rows of every text, encoded in batches. Without texts no encoder is needed."""
    rows: dict[str, Rows] = {}
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        assert encoder is not None
        part = encoder.encode(batch)
        tokens = np.split(part.rows.astype(np.float16), part.offsets[1:-1])
        rows |= dict(zip(batch, zip(tokens, part.pooled.astype(np.float16))))
        on_progress(len(batch))
    return rows


STAGE = Stage(NAME, "texts", "captions", ".h5", needs, fingerprint_record, read_record, load, per_block=False)
