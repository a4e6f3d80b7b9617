"""Rows per class of the agreement between entities and labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lass3d_core.files.coverage import Agreement


@dataclass(frozen=True)
class PhraseOfClass:
    """A phrase on the points of a class.

    share: share of the class's points with an entity that carry this phrase.
    main_class: name of the class on which most of the phrase's points lie.
    purity: share of the phrase's points that lie on its main class.
    """

    phrase: str
    share: float
    main_class: str
    purity: float


@dataclass(frozen=True)
class ClassRow:
    """One class.

    points: labelled points of the class.
    with_entity: share of these points that have an entity.
    agrees: share of the points with an entity whose phrase has this class as its main class.
    phrases: the most frequent phrases on the class, the most frequent first.
    """

    name: str
    points: int
    with_entity: float
    agrees: float
    phrases: tuple[PhraseOfClass, ...]


def class_rows(agreement: Agreement, shown: int = 3) -> Iterator[ClassRow]:
    """Yield one row for each class that occurs, with at most `shown` phrases."""
    main = agreement.main_classes()
    for train_id in np.flatnonzero(agreement.points).tolist():
        name, points = agreement.class_names[train_id], int(agreement.points[train_id])
        on_class = {
            phrase: int(row[train_id]) for phrase, row in agreement.of_phrase.items() if row[train_id]
        }
        total = sum(on_class.values())
        frequent = sorted(on_class, key=lambda phrase: (-on_class[phrase], phrase))[:shown]
        yield ClassRow(
            name=name,
            points=points,
            with_entity=total / points,
            agrees=sum(n for phrase, n in on_class.items() if main[phrase].name == name) / max(total, 1),
            phrases=tuple(
                PhraseOfClass(phrase, on_class[phrase] / total, main[phrase].name, main[phrase].purity)
                for phrase in frequent
            ),
        )
