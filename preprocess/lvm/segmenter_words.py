"""Which classes of a segmentation network a phrase names, by its words.

Decision: a phrase names a class if its last words, as many as match, are a word of that class: "a parked
car" names car, "a street light" the pole and not the traffic light. What follows a preposition says where the
thing is and is left out ("car on the road"); only if nothing before it matches, what follows "of" is taken
("row of trees"). A plural is the same word. A phrase that names no class finds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from lass3d_core.errors import DataError
from preprocess.stages.phrases import normalise

_WORD = re.compile(r"[^\W_]+")
_ALSO = re.compile(r",|;|&|\band\b|\bor\b")
_WHERE = re.compile(
    r"\b(?:of|on|in|inside|with|without|at|by|near|behind|beside|next|under|over|above|from|for|along|between|"
    r"around|against|to|that|which)\b"
)
_PLURALS = {"people": "person", "men": "man", "women": "woman", "children": "child", "leaves": "leaf"}
_SIBILANTS = ("s", "x", "z", "ch", "sh")

Words = tuple[str, ...]


class ClassWords:
    """The words of C classes.

    words (C): the first is how the class is called, the others also mean it, from the nearest to the widest.
    A class without words is never named. Raises DataError for a word that names no thing.
    """

    def __init__(self, words: Sequence[Sequence[str]]) -> None:
        self._ranks: dict[Words, dict[int, int]] = {}
        names = []
        for index, synonyms in enumerate(words):
            spelt = [_checked(word, f"labels[{index}]") for word in synonyms]
            names.append(spelt[0] if spelt else None)
            for rank, word in enumerate(spelt):
                for spelling in _spellings(_words(word)):
                    self._ranks.setdefault(spelling, {}).setdefault(index, rank)
        self.names: tuple[str | None, ...] = tuple(names)

    def __len__(self) -> int:
        return len(self.names)

    def phrase_of_each(self, phrases: Sequence[str]) -> dict[int, str]:
        """Class -> the phrase of `phrases` that names it best; no entry if none does.

        The best is the one whose word stands first among the words of the class; of equal ones, the first.
        """
        best: dict[int, tuple[int, int]] = {}
        for place, phrase in enumerate(phrases):
            for index, rank in self._ranks_of(phrase).items():
                best[index] = min((rank, place), best.get(index, (rank, place)))
        return {index: phrases[place] for index, (_, place) in sorted(best.items())}

    def _ranks_of(self, phrase: str) -> Mapping[int, int]:
        """Class -> the rank of its word in `phrase`."""
        found: dict[int, int] = {}
        for thing in _ALSO.split(phrase.lower()):
            # A word with a preposition inside it, such as "chest of drawers".
            whole = next((self._ranks[one] for one in _spellings(_words(thing)) if one in self._ranks), {})
            before = _WHERE.split(thing, maxsplit=1)[0]
            after = _WHERE.split(thing.rpartition(" of ")[2])[0] if " of " in thing else ""
            for index, rank in (whole or self._by_last_words(before) or self._by_last_words(after)).items():
                found[index] = min(rank, found.get(index, rank))
        return found

    def _by_last_words(self, text: str) -> Mapping[int, int]:
        words = _words(text)
        for start in range(len(words)):
            for spelling in _spellings(words[start:]):
                if spelling in self._ranks:
                    return self._ranks[spelling]
        return {}


def _checked(word: str, key: str) -> str:
    spelt = normalise(word)
    if spelt is None:
        raise DataError(f"segmenter: {key}: {word!r} names no thing; write a noun, or [] for no word")
    return spelt


def _words(text: str) -> Words:
    return tuple(_WORD.findall(text.lower()))


def _spellings(words: Words) -> list[Words]:
    """The words, and the same with the last one in the singular."""
    return [words, *((*words[:-1], one) for one in _singulars(words[-1]))] if words else []


def _singulars(word: str) -> Iterator[str]:
    """What `word` may be the plural of."""
    if word in _PLURALS:
        yield _PLURALS[word]
    if word.endswith("ies"):
        yield word[:-3] + "y"
    if word.endswith("es") and word[:-2].endswith(_SIBILANTS):
        yield word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        yield word[:-1]
