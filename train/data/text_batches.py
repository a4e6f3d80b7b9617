"""From the names that the shards hold to text rows: only those of one batch.

Letters: I images and P phrases of the batch, D text dimension.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from lass3d_core.errors import StaleArtifact
from lass3d_core.files.text_rows import TextRowsFile
from lass3d_core.paper.safm import TextBatch
from lass3d_core.records import NONE, PointTextPairs


class TextRowsOf:
    """Looks up the rows of images and phrases by their names."""

    def __init__(self, table: TextRowsFile) -> None:
        self._table = table
        self._caption_of = dict(zip(table.image_ids, table.image_caption.tolist()))
        self._row_of = {phrase: row for row, phrase in enumerate(table.phrases)}

    @property
    def dim(self) -> int:
        """D."""
        return self._table.dim

    def batch(self, pairs: Sequence[PointTextPairs]) -> tuple[TextBatch, list[np.ndarray], list[np.ndarray]]:
        """The rows that the scans of `pairs` name, and per scan what its slots are in the batch.

        Per scan: its image slot -> that of the batch, and its phrase slot -> row of entity_rows, both int64
        with one entry more at the end, so that slot NONE (-1) stays NONE. An image without caption has none.
        Raises StaleArtifact for a name that the table lacks.
        """
        captioned = [i for i in _unique(p.image_ids for p in pairs) if self._caption(i) != NONE]
        phrases = _unique(p.phrases for p in pairs)
        rows = self.phrase_rows(phrases)
        slot_of_image = {image_id: slot for slot, image_id in enumerate(captioned)}
        slot_of_phrase = {phrase: slot for slot, phrase in enumerate(phrases)}
        return (
            self._text_batch([self._caption(image_id) for image_id in captioned], rows),
            [_slots(p.image_ids, slot_of_image) for p in pairs],
            [_slots(p.phrases, slot_of_phrase) for p in pairs],
        )

    def phrases(self, pairs: Sequence[PointTextPairs]) -> np.ndarray:
        """The row in the table (P,) int64 of each row of `batch(pairs)`'s entity_rows. Raises as it does."""
        return self.phrase_rows(_unique(p.phrases for p in pairs))

    def phrase_rows(self, phrases: Sequence[str]) -> np.ndarray:
        """The row in the table of each phrase, (P,) int64. Raises StaleArtifact for one that it lacks."""
        return np.array([self._row(phrase) for phrase in phrases], np.int64)

    def _text_batch(self, captions: Sequence[int], phrase_rows: np.ndarray) -> TextBatch:
        found = self._table.captions(captions)
        return TextBatch(
            image_rows=torch.from_numpy(found.rows.astype(np.float32)),
            image_offsets=torch.from_numpy(np.concatenate([[0], np.cumsum(found.lengths)]).astype(np.int64)),
            image_pooled=torch.from_numpy(found.pooled.astype(np.float32)),
            entity_rows=torch.from_numpy(self._table.phrase_rows[phrase_rows].astype(np.float32)),
        )

    def _caption(self, image_id: str) -> int:
        if image_id not in self._caption_of:
            raise _not_in_table(f"the image {image_id}")
        return self._caption_of[image_id]

    def _row(self, phrase: str) -> int:
        if phrase not in self._row_of:
            raise _not_in_table(f"the phrase {phrase!r}")
        return self._row_of[phrase]


def _unique(names: Iterable[Sequence[str]]) -> list[str]:
    """Every name once, in the order of its first appearance."""
    return list(dict.fromkeys(name for some in names for name in some))


def _slots(names: Sequence[str], slot_of: dict[str, int]) -> np.ndarray:
    return np.array([*(slot_of.get(name, NONE) for name in names), NONE], np.int64)


def _not_in_table(what: str) -> StaleArtifact:
    return StaleArtifact(
        f'{what} has no row in text_embeddings.h5: it is older than the pairs; run "make captions"'
    )
