"""`hashing`: a stand-in for CLIP's text encoder that needs no weights.

A word becomes a random direction that its letters determine, so texts with shared words get similar rows. A
small table lists words for the same kind of thing. It stands for the knowledge of a trained encoder and gives
synonyms similar rows. In a run of such words the last one, the head, decides: a "road sign" is a sign, a
"tree trunk" is a trunk. Otherwise the order of the words does not matter.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from lass3d_core.records import TextRows
from preprocess.lvm.params import HashingParams
from preprocess.lvm.text_rows import gathered

# The words for each kind of thing; a comma stands between two kinds.
_KINDS = """
    road street asphalt lane carriageway, parking lot bay yard, sidewalk pavement footpath walkway,
    grass lawn meadow terrain, house building facade garage, fence railing paling,
    tree bush foliage vegetation hedge, trunk stem bark, pole lamp post mast, sign signboard plate,
    car sedan vehicle automobile, truck lorry van, person pedestrian walker man woman,
    cyclist bicyclist biker bike bicycle rider, sky cloud heaven, wall plaster partition,
    floor flooring ground, cabinet cupboard wardrobe, bed mattress bedspread, chair armchair seat,
    sofa couch settee, table tabletop board, door doorway entrance, window pane glazing,
    bookshelf bookcase book, painting poster artwork, counter worktop countertop, desk bureau workstation,
    curtain drape blind, pillow cushion, rug carpet mat, ceiling, refrigerator fridge freezer,
    television monitor flatscreen, screen guard, toilet lavatory, sink washbasin, bathtub tub,
    stool ottoman rack
"""
_KIND_OF = {word: number for number, words in enumerate(_KINDS.split(",")) for word in words.split()}
_FUNCTION_WORDS = {"a", "an", "and", "at", "by", "in", "of", "on", "or", "some", "the", "to", "with"}


class HashingEncoder:
    """A `TextEncoder` from hashes."""

    def __init__(self, params: HashingParams) -> None:
        self.params = params
        self.cut = 0

    def encode(self, texts: Sequence[str]) -> TextRows:
        """Unit rows: one per content word, then the end-of-text row, their normalised mean (also pooled)."""
        blocks = [self._rows_of(text) for text in texts]
        return gathered([(rows, rows[-1]) for rows in blocks], self.params.dim)

    def _rows_of(self, text: str) -> np.ndarray:
        words, room = _words_with_kinds(text), self.params.context - 1
        self.cut += len(words) > room
        vectors = [self._word(word, kind) for word, kind in words[:room]]
        total = np.sum(vectors or [self._direction("end of text")], axis=0)
        return np.stack([*vectors, total / np.linalg.norm(total)]).astype(np.float32)

    def _word(self, word: str, kind: int | None) -> np.ndarray:
        spelling = self._direction(f"word {word}")
        if kind is None:
            return spelling
        weight = self.params.meaning
        mixed = np.sqrt(1 - weight) * spelling + np.sqrt(weight) * self._direction(f"kind {kind}")
        return mixed / np.linalg.norm(mixed)

    def _direction(self, name: str) -> np.ndarray:
        return _direction(name, self.params.dim, self.params.seed)


def _words_with_kinds(text: str) -> list[tuple[str, int | None]]:
    """The content words of `text`, each with the kind of thing that the head of its run names, or None."""
    found: list[tuple[str, int | None]] = []
    head: int | None = None
    for token in reversed(re.findall(r"[^\W_]+|[^\w\s]", text.lower())):
        word = _singular(token)
        own = _KIND_OF.get(word)
        head = own if own is None or head is None else head
        if word.isalnum() and word not in _FUNCTION_WORDS:
            found.append((word, head))
    return found[::-1]


def _singular(word: str) -> str:
    """`word` without a plural ending, if the table has the rest."""
    endings = (word.removesuffix("s"), word.removesuffix("es"))
    return next((rest for rest in endings if rest in _KIND_OF), word)


@lru_cache(maxsize=4096)
def _direction(name: str, dim: int, seed: int) -> np.ndarray:
    """A unit vector (dim,) that `name` and `seed` determine."""
    digest = hashlib.blake2b(name.encode("utf-8"), digest_size=8).digest()
    vector = np.random.default_rng((seed, int.from_bytes(digest, "little"))).normal(size=dim)
    return vector / np.linalg.norm(vector)
