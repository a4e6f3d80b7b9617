"""The text rows of one batch, looked up by the names of images and phrases that the shards hold.

Letters: I images and P phrases of the batch, N points of a scan, D text dimension.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lass3d_core.errors import StaleArtifact
from lass3d_core.files.text_table import TextRowsFile
from lass3d_core.paper.safm import TextBatch
from lass3d_core.records import NONE, WHOLE_SHARE, PointTextPairs, PointVotes


@dataclass(frozen=True)
class BatchTexts:
    """The text rows of a batch, and the points that they belong to."""

    texts: TextBatch
    table_rows: np.ndarray  # (P,) int64: the row of each phrase in the whole text table
    image: list[np.ndarray]  # per scan (N,) int64: slot of each point's caption in `texts`, or NONE
    phrase: list[np.ndarray]  # per scan (N,K) int64: rows in texts.entity_rows, or NONE


class TextRowsOf:
    """A look-up of text rows by the names of images and phrases."""

    def __init__(self, table: TextRowsFile) -> None:
        self._table = table
        self._caption_of = dict(zip(table.image_ids, table.image_caption.tolist()))
        self._row_of = {phrase: row for row, phrase in enumerate(table.phrases)}

    def batch(self, pairs: Sequence[PointTextPairs]) -> BatchTexts:
        """The rows that the scans of `pairs` name, each once. An image without a caption has no slot.

        Raises StaleArtifact for a name that the table lacks.
        """
        captioned = [i for i in _unique(p.image_ids for p in pairs) if self._caption(i) != NONE]
        phrases = _unique(p.phrases for p in pairs)
        table_rows = self.phrase_rows(phrases)
        slot_of_image = {image_id: slot for slot, image_id in enumerate(captioned)}
        slot_of_phrase = {phrase: slot for slot, phrase in enumerate(phrases)}
        return BatchTexts(
            self._text_batch([self._caption(image_id) for image_id in captioned], table_rows),
            table_rows,
            # Column 0 is a point's best view: there it is nearest to the centre of the image.
            [_slots(p.image_ids, slot_of_image)[p.image[:, 0]] for p in pairs],
            [_slots(p.phrases, slot_of_phrase)[votes_of(p).phrase] for p in pairs],
        )

    def phrase_rows(self, phrases: Sequence[str]) -> np.ndarray:
        """The row of each phrase in the table, (P,) int64. Raises StaleArtifact for a phrase it lacks."""
        for phrase in phrases:
            if phrase not in self._row_of:
                raise _not_in_table(f"the phrase {phrase!r}")
        return np.array([self._row_of[phrase] for phrase in phrases], np.int64)

    def _text_batch(self, captions: Sequence[int], phrase_rows: np.ndarray) -> TextBatch:
        found = self._table.captions(captions)
        return TextBatch(
            image_rows=torch.from_numpy(found.rows.astype(np.float32)),
            image_offsets=(0, *np.cumsum(found.lengths).tolist()),
            image_pooled=torch.from_numpy(found.pooled.astype(np.float32)),
            entity_rows=torch.from_numpy(self._table.phrase_rows[phrase_rows].astype(np.float32)),
        )

    def _caption(self, image_id: str) -> int:
        if image_id not in self._caption_of:
            raise _not_in_table(f"the image {image_id}")
        return self._caption_of[image_id]


def votes_of(pairs: PointTextPairs) -> PointVotes:
    """The votes on each point; if a single view named it, its phrase has the whole share and score."""
    if pairs.votes is not None:
        return pairs.votes
    named = pairs.entity != NONE
    whole = np.where(named, np.uint8(WHOLE_SHARE), np.uint8(0))
    return PointVotes(pairs.entity[:, None], whole[:, None], whole, named.astype(np.uint8))


def _unique(names: Iterable[Sequence[str]]) -> list[str]:
    """Every name once, in the order of first appearance."""
    return list(dict.fromkeys(name for some in names for name in some))


def _slots(names: Sequence[str], slot_of: dict[str, int]) -> np.ndarray:
    """The slot of each name, int64, and NONE at the end: so that index NONE (-1) gives NONE."""
    return np.array([*(slot_of.get(name, NONE) for name in names), NONE], np.int64)


def _not_in_table(what: str) -> StaleArtifact:
    return StaleArtifact(
        f'{what} has no row in text_embeddings.h5: the file is older than the pairs; run "make captions"'
    )
