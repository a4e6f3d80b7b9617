"""Which classes a phrase names, by words alone: the class's name, the manifest's synonyms, and built-in ones.

A name or a manifest's synonym of one class is no built-in synonym of another. head_words.py says when a
phrase names a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lass3d_core.labels import class_phrase
from lass3d_core.words.head_words import HeadWords
from lass3d_core.words.synonyms import BUILT_IN


class Lexicon:
    """The words for each of C classes. names (C): of the classes. synonyms: class name -> further words."""

    def __init__(self, names: Sequence[str], synonyms: Mapping[str, Sequence[str]]) -> None:
        self._train_ids = HeadWords[int]()
        for train_id, name in enumerate(names):
            for text in (name, *synonyms.get(name, ())):
                self._train_ids.add(text, train_id)
        free = [
            (text, train_id)
            for train_id, name in enumerate(names)
            for text in BUILT_IN.get(class_phrase(name).lower(), ())
            if text not in self._train_ids
        ]
        for text, train_id in free:
            self._train_ids.add(text, train_id)

    def classes_of(self, phrase: str) -> frozenset[int]:
        """The train ids of the classes that `phrase` names; empty if it names none."""
        return frozenset(self._train_ids.named_by(phrase))
