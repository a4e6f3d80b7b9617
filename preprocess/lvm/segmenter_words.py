"""The words of a segmentation network's classes, and which class a phrase asks for (see head_words.py)."""

from __future__ import annotations

from collections.abc import Sequence

from lass3d_core.errors import DataError
from lass3d_core.words.head_words import HeadWords
from preprocess.stages.phrases import normalise


class ClassWords:
    """The words of C classes.

    words (C): the first is how the class is called, the others also mean it, from the nearest to the widest.
    A class without words is never named. Raises DataError for a word that names no thing.
    """

    def __init__(self, words: Sequence[Sequence[str]]) -> None:
        self._ranked = HeadWords[
            tuple[int, int]
        ]()  # word -> class, and the word's place among those of the class
        names = []
        for index, synonyms in enumerate(words):
            spelt = [_checked(word, f"labels[{index}]") for word in synonyms]
            names.append(spelt[0] if spelt else None)
            for rank, word in enumerate(spelt):
                self._ranked.add(word, (index, rank))
        self.names: tuple[str | None, ...] = tuple(names)

    def __len__(self) -> int:
        return len(self.names)

    def phrase_of_each(self, phrases: Sequence[str]) -> dict[int, str]:
        """Class -> the phrase of `phrases` that names it best; no entry if none does.

        The best is the one whose word stands first among the words of the class; of equal ones, the first.
        """
        best: dict[int, tuple[int, int]] = {}
        for place, phrase in enumerate(phrases):
            for index, rank in self._ranked.named_by(phrase):
                best[index] = min((rank, place), best.get(index, (rank, place)))
        return {index: phrases[place] for index, (_, place) in sorted(best.items())}


def _checked(word: str, key: str) -> str:
    spelt = normalise(word)
    if spelt is None:
        raise DataError(f"segmenter: {key}: {word!r} names no thing; write a noun, or [] for no word")
    return spelt
