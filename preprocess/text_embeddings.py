"""Stage `text_embeddings`: rows of every caption (E_i) and every entity phrase (E_e) that the pairs may name.

One table for the whole data set. Decision: a caption keeps all its token-level rows, since attention over a
single key is no attention; a phrase keeps its pooled row, which is added to its points.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lass3d_core.errors import CorruptArtifact, DataError, MissingArtifact, StaleArtifact
from lass3d_core.fingerprint import Record
from lass3d_core.text_table import TextTable, read_text_table, read_text_table_record, write_text_table
from preprocess import entities, image_captions
from preprocess.jsonl_shards import read_digest
from preprocess.lvm import TextEncoder, identity_of, load_encoder
from preprocess.project import Failure, Job, Make, Project, Tick

NAME = "text_embeddings"
SCHEMA = 1
BATCH = 256

Rows = tuple[np.ndarray, np.ndarray]
"""Of one text: its token-level rows (n,D) and its pooled row (D,), float16."""


def record(project: Project) -> Record:
    """What the table is made from: the encoder, the captions' sentences and the entities' phrases."""
    spec = project.manifest.text_embeddings
    upstream = {}
    for stage, aspect in ((image_captions.NAME, "texts"), (entities.NAME, "phrases")):
        for block in project.blocks:
            shard = project.folder / stage / f"{block.name}.jsonl"
            upstream[f"{stage} {block.name}"] = read_digest(shard, aspect)
    params = {"encoder": spec.name, "encoder params": identity_of(NAME, spec)}
    return Record(stage=NAME, schema=SCHEMA, params=params, inputs={}, upstream=upstream)


def opened(project: Project) -> Make:
    """Load the encoder; the returned function makes the table, encoding what the one before it lacks."""
    encoder = load_encoder(project.manifest.text_embeddings)

    def make(job: Job, tick: Tick) -> list[Failure]:
        captions, phrases = texts_of(project)
        known = table_before(job.path, job.record)
        write_text_table(job.path, table_of(encoder, captions, phrases, known, tick), job.record)
        if encoder.cut:
            tqdm.write(f"{NAME}: {encoder.cut} texts lost their end, longer than the encoder's window")
        return []

    return make


def table_before(path: Path, wanted: Record) -> TextTable | None:
    """The table that lies at `path`, if it is whole and of the same encoder: its rows need no second look."""
    try:
        made = read_text_table_record(path)
        same = (made["params"], made["schema"]) == (wanted["params"], wanted["schema"])
        return read_text_table(path) if same else None
    except (MissingArtifact, StaleArtifact, CorruptArtifact):
        return None


def texts_of(project: Project) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """image_id -> its caption, None where captioning failed; and every entity phrase, ascending."""
    captions: dict[str, str | None] = {}
    phrases: set[str] = set()
    for block in project.blocks:
        captions |= image_captions.captions_in(project.folder / image_captions.NAME / f"{block.name}.jsonl")
        found = entities.entities_in(project.folder / entities.NAME / f"{block.name}.jsonl")
        phrases |= {entity.phrase for of_image in found.values() for entity in of_image}
    return captions, tuple(sorted(phrases))


def table_of(
    encoder: TextEncoder,
    captions: dict[str, str | None],
    phrases: tuple[str, ...],
    known: TextTable | None,
    tick: Tick,
) -> TextTable:
    """Encode each distinct text once, and none whose rows are in `known`.

    Raises DataError when no image has a caption.
    """
    texts = tuple(sorted({text for text in captions.values() if text is not None}))
    if not texts:
        raise DataError("no image has a caption; see the failures of image_captions")
    of_caption, of_phrase = _known_rows(known)
    of_caption |= _encoded(encoder, [text for text in texts if text not in of_caption], tick)
    new_phrases = _encoded(encoder, [phrase for phrase in phrases if phrase not in of_phrase], tick)
    of_phrase |= {phrase: pooled for phrase, (_, pooled) in new_phrases.items()}
    row_of = {text: row for row, text in enumerate(texts)}
    tokens = [of_caption[text][0] for text in texts]
    pooled = np.stack([of_caption[text][1] for text in texts])
    return TextTable(
        image_ids=tuple(captions),
        image_caption=np.array([row_of.get(text, -1) for text in captions.values()], np.int32),
        caption_texts=texts,
        caption_offsets=np.cumsum([0, *map(len, tokens)]).astype(np.int64),
        caption_rows=np.concatenate(tokens),
        caption_pooled=pooled,
        phrases=phrases,
        phrase_rows=np.stack([of_phrase[phrase] for phrase in phrases]) if phrases else pooled[:0],
    )


def _known_rows(known: TextTable | None) -> tuple[dict[str, Rows], dict[str, np.ndarray]]:
    """The rows of each caption, and the row of each phrase, of a table; none without a table."""
    if known is None:
        return {}, {}
    tokens = np.split(known.caption_rows, known.caption_offsets[1:-1])
    of_caption = dict(zip(known.caption_texts, zip(tokens, known.caption_pooled)))
    return of_caption, dict(zip(known.phrases, known.phrase_rows))


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
