"""Stage `text_embeddings`: rows of every caption (E_i) and every entity phrase (E_e) that the pairs may name.

One table for the whole data set. Decision: a caption keeps all its token-level rows, since attention over a
single key is no attention; a phrase keeps its pooled row, which is added to its points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from lass3d_core.errors import DataError
from lass3d_core.fingerprint import Record
from lass3d_core.records import TextRows
from lass3d_core.text_table import TextTable, write_text_table
from preprocess import entities, image_captions
from preprocess.jsonl_shards import read_ends
from preprocess.lvm import TextEncoder, identity_of, load_encoder
from preprocess.project import Failure, Job, Make, Project, Tick

NAME = "text_embeddings"
SCHEMA = 1
BATCH = 256


def record(project: Project) -> Record:
    """What the table is made from: the encoder, the captions' sentences and the entities' phrases."""
    spec = project.manifest.text_embeddings
    upstream = {}
    for stage, aspect in ((image_captions.NAME, "texts"), (entities.NAME, "phrases")):
        for block in project.blocks:
            _, footer = read_ends(project.folder / stage / f"{block.name}.jsonl")
            upstream[f"{stage} {block.name}"] = footer.digests[aspect]
    params = {"encoder": spec.name, "encoder params": identity_of(NAME, spec)}
    return Record(stage=NAME, schema=SCHEMA, params=params, inputs={}, upstream=upstream)


def opened(project: Project) -> Make:
    """Load the encoder; the returned function makes the table."""
    encoder = load_encoder(project.manifest.text_embeddings)

    def make(job: Job, tick: Tick) -> list[Failure]:
        captions, phrases = texts_of(project)
        write_text_table(job.path, table_of(encoder, captions, phrases, tick), job.record)
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


def table_of(
    encoder: TextEncoder, captions: dict[str, str | None], phrases: tuple[str, ...], tick: Tick
) -> TextTable:
    """Encode each distinct text once. Raises DataError when no image has a caption."""
    texts = tuple(sorted({text for text in captions.values() if text is not None}))
    if not texts:
        raise DataError("no image has a caption; see the failures of image_captions")
    row_of = {text: row for row, text in enumerate(texts)}
    rows = _encoded(encoder, texts, tick)
    pooled = _encoded(encoder, phrases, tick).pooled if phrases else rows.pooled[:0]
    return TextTable(
        image_ids=tuple(captions),
        image_caption=np.array([row_of.get(text, -1) for text in captions.values()], np.int32),
        caption_texts=texts,
        caption_offsets=rows.offsets,
        caption_rows=rows.rows.astype(np.float16),
        caption_pooled=rows.pooled.astype(np.float16),
        phrases=phrases,
        phrase_rows=pooled.astype(np.float16),
    )


def _encoded(encoder: TextEncoder, texts: Sequence[str], tick: Tick) -> TextRows:
    """The rows of every text, encoded in batches."""
    parts = []
    for start in range(0, len(texts), BATCH):
        parts.append(encoder.encode(texts[start : start + BATCH]))
        tick(len(parts[-1].pooled))
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])
    return TextRows(
        rows=np.concatenate([part.rows for part in parts]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        pooled=np.concatenate([part.pooled for part in parts]),
    )
