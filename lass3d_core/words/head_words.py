"""Which of the known words a phrase names: the segmenter finds classes by it, the audit judges phrases by it.

Decision: the paper does not say when a phrase names a class. Here it names the word that its last words are,
as many as match: "a parked car" names car, "tree trunk" names trunk and not tree. What follows a preposition
says where a thing is and is left out ("car on the road"), unless the whole is a known word ("chest of
drawers"); only if nothing before it matches, what follows "of" is taken ("row of trees"). Of "trees and
houses" both count. A plural is the same word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

Meaning = TypeVar("Meaning")
Words = tuple[str, ...]

_WORD = re.compile(r"[^\W_]+")
_ALSO = re.compile(r",|;|&|\band\b|\bor\b")
_WHERE = re.compile(
    r"\b(?:of|on|in|inside|with|without|at|by|near|behind|beside|next|under|over|above|from|for|along|between|"
    r"around|against|to|that|which)\b"
)
_PLURALS = {"people": "person", "men": "man", "women": "woman", "children": "child", "leaves": "leaf"}
_SIBILANTS = ("s", "x", "z", "ch", "sh")


class HeadWords(Generic[Meaning]):
    """Known words, of one or several parts ("traffic-sign", "street light"), with what each means."""

    def __init__(self) -> None:
        self._meanings: dict[Words, list[Meaning]] = {}

    def add(self, text: str, meaning: Meaning) -> None:
        """Know `text`, and its singular if it is a plural. A word may mean several things."""
        for spelling in _spellings(_words(text)):
            self._meanings.setdefault(spelling, []).append(meaning)

    def __contains__(self, text: str) -> bool:
        return any(spelling in self._meanings for spelling in _spellings(_words(text)))

    def named_by(self, phrase: str) -> list[Meaning]:
        """What `phrase` names, in the order of its words; empty if it names nothing that is known."""
        return [meaning for thing in _ALSO.split(phrase.lower()) for meaning in self._named(thing)]

    def _named(self, thing: str) -> Sequence[Meaning]:
        before = _WHERE.split(thing, maxsplit=1)[0]
        after = _WHERE.split(thing.rpartition(" of ")[2])[0] if " of " in thing else ""
        return self._known(_words(thing)) or self._by_last_words(before) or self._by_last_words(after)

    def _by_last_words(self, text: str) -> Sequence[Meaning]:
        words = _words(text)
        return next((found for start in range(len(words)) if (found := self._known(words[start:]))), ())

    def _known(self, words: Words) -> Sequence[Meaning]:
        return next((self._meanings[one] for one in _spellings(words) if one in self._meanings), ())


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
