"""What the entities cover, and whether they agree with the labels of the scans that keep theirs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from lass3d_core.labels import IGNORE
from lass3d_core.records import NONE, PairedScan


@dataclass
class EntityCoverage:
    """Counts over the scans of a split, and the points of each phrase."""

    scans: int = 0
    points: int = 0
    with_image: int = 0
    with_entity: int = 0
    phrases: Counter[str] = field(default_factory=Counter)

    def add(self, scan: PairedScan) -> None:
        """Count one more scan; labels are not looked at."""
        pairs = scan.pairs
        self.scans += 1
        self.points += len(scan.points)
        self.with_image += int((pairs.image != NONE).any(axis=1).sum())
        self.with_entity += int((pairs.entity != NONE).sum())
        points_of = np.bincount(pairs.entity[pairs.entity != NONE], minlength=len(pairs.phrases))
        self.phrases += Counter(dict(zip(pairs.phrases, points_of.tolist())))

    def __str__(self) -> str:
        of_points = max(self.points, 1)
        return (
            f"{self.scans} scans, {self.points} points, {self.with_image / of_points:.1%} with an image, "
            f"{self.with_entity / of_points:.1%} with an entity"
        )


@dataclass(frozen=True)
class PhraseOfClass:
    """A phrase on the points of a class. share: of the class's points with an entity. main_class: where most
    of the phrase's points lie. purity: the share of its points that lie there."""

    phrase: str
    share: float
    main_class: str
    purity: float


@dataclass(frozen=True)
class ClassRow:
    """One class. points: labelled so. with_entity: share of them. agrees: share of those whose phrase has
    this main class. phrases: the most frequent first."""

    name: str
    points: int
    with_entity: float
    agrees: float
    phrases: tuple[PhraseOfClass, ...]


class Agreement:
    """Points by phrase and class, over labelled scans; ignored points are left out.

    An entity has no class of its own: its phrase stands for the class on which most of its points lie. So
    agreement is the share of points with an entity whose phrase stands for the point's own class.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self._names = tuple(class_names)
        self._points = np.zeros(len(self._names), np.int64)
        self._of_phrase: dict[str, np.ndarray] = {}

    def add(self, scan: PairedScan) -> None:
        """Count one labelled scan."""
        assert scan.labels is not None
        count, pairs = len(self._names), scan.pairs
        counted = scan.labels != IGNORE
        self._points += np.bincount(scan.labels[counted], minlength=count)
        counted &= pairs.entity != NONE
        cells = pairs.entity[counted].astype(np.int64) * count + scan.labels[counted]
        table = np.bincount(cells, minlength=len(pairs.phrases) * count).reshape(-1, count)
        for phrase, row in zip(pairs.phrases, table):
            self._of_phrase[phrase] = self._of_phrase.get(phrase, 0) + row

    @property
    def share(self) -> float:
        """Of all labelled points with an entity, those whose phrase stands for their class; 0 of none."""
        rows = self._of_phrase.values()
        return sum(int(row.max()) for row in rows) / max(sum(int(row.sum()) for row in rows), 1)

    def rows(self, shown: int = 3) -> Iterator[ClassRow]:
        """One row for each class that occurs, with at most `shown` phrases."""
        for train_id in np.flatnonzero(self._points):
            on_class = {
                phrase: int(row[train_id]) for phrase, row in self._of_phrase.items() if row[train_id]
            }
            total = sum(on_class.values())
            agreeing = sum(n for phrase, n in on_class.items() if self._main_class(phrase) == train_id)
            frequent = sorted(on_class, key=lambda phrase: (-on_class[phrase], phrase))[:shown]
            yield ClassRow(
                name=self._names[train_id],
                points=int(self._points[train_id]),
                with_entity=total / int(self._points[train_id]),
                agrees=agreeing / max(total, 1),
                phrases=tuple(self._phrase(phrase, on_class[phrase] / total) for phrase in frequent),
            )

    def _main_class(self, phrase: str) -> int:
        return int(self._of_phrase[phrase].argmax())

    def _phrase(self, phrase: str, share: float) -> PhraseOfClass:
        row, main = self._of_phrase[phrase], self._main_class(phrase)
        return PhraseOfClass(phrase, share, self._names[main], int(row[main]) / int(row.sum()))
