"""Which classes a phrase names, by words alone.

Decision: the paper does not say when a phrase names a class. Here it does if its last words, as many as
match, are the class's name or a synonym: "a parked car" names car, and "tree trunk" names trunk and not
vegetation. What follows a preposition says where a thing is and is left out ("car on the road"); only if
nothing before it matches, what follows "of" is taken ("row of trees"). Of "trees and houses" both count. A
plural is the same word. A name or a manifest's synonym of one class is no built-in synonym of another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from lass3d_core.labels import class_phrase
from preprocess.audit.synonyms import BUILT_IN

_WORD = re.compile(r"[^\W_]+")
_ALSO = re.compile(r",|;|&|\band\b|\bor\b")
_WHERE = re.compile(
    r"\b(?:of|on|in|inside|with|without|at|by|near|behind|beside|next|under|over|above|from|for|along|between|"
    r"around|against|to|that|which)\b"
)
_PLURALS = {"people": "person", "men": "man", "women": "woman", "children": "child", "leaves": "leaf"}
_SIBILANTS = ("s", "x", "z", "ch", "sh")

Words = tuple[str, ...]


class Lexicon:
    """The words for each of C classes. names (C): of the classes. synonyms: class name -> further words."""

    def __init__(self, names: Sequence[str], synonyms: Mapping[str, Sequence[str]]) -> None:
        self._classes_of: dict[Words, set[int]] = {}
        for train_id, name in enumerate(names):
            for text in (name, *synonyms.get(name, ())):
                self._add(text, train_id)
        taken = set(self._classes_of)
        for train_id, name in enumerate(names):
            for text in BUILT_IN.get(class_phrase(name).lower(), ()):
                if not taken.intersection(_spellings(_words(text))):
                    self._add(text, train_id)

    def classes_of(self, phrase: str) -> frozenset[int]:
        """The train ids of the classes that `phrase` names; empty if it names none."""
        things = _ALSO.split(phrase.lower())
        return frozenset().union(*(self._named(thing) for thing in things))

    def _named(self, thing: str) -> set[int]:
        before = _WHERE.split(thing, maxsplit=1)[0]
        after = thing.rpartition(" of ")[2] if " of " in thing else ""
        return self._by_last_words(_words(before)) or self._by_last_words(_words(_WHERE.split(after)[0]))

    def _by_last_words(self, words: Words) -> set[int]:
        for start in range(len(words)):
            for spelling in _spellings(words[start:]):
                if spelling in self._classes_of:
                    return self._classes_of[spelling]
        return set()

    def _add(self, text: str, train_id: int) -> None:
        for spelling in _spellings(_words(text)):
            self._classes_of.setdefault(spelling, set()).add(train_id)


def _words(text: str) -> Words:
    return tuple(_WORD.findall(class_phrase(text).lower()))


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
