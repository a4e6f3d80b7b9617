"""Counts over pair shards: how many points have text, and on which of the C classes each phrase lies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lass3d_core.labels import IGNORE
from lass3d_core.records import NONE, PairedScan

_DRAWS = 10


@dataclass
class Coverage:
    """How many points of the added scans have an image, an entity, and each phrase. Labels are not read."""

    scans: int = 0
    points: int = 0
    with_image: int = 0
    with_entity: int = 0
    phrases: Counter[str] = field(default_factory=Counter)

    def add(self, scan: PairedScan) -> None:
        """Count one more scan."""
        pairs = scan.pairs
        with_entity = pairs.entity != NONE
        self.scans += 1
        self.points += len(scan.points)
        self.with_image += int((pairs.image != NONE).any(axis=1).sum())
        self.with_entity += int(with_entity.sum())
        points_of = np.bincount(pairs.entity[with_entity], minlength=len(pairs.phrases))
        self.phrases += Counter(dict(zip(pairs.phrases, points_of.tolist())))

    def __str__(self) -> str:
        of_points = max(self.points, 1)
        return (
            f"{self.scans} scans, {self.points} points, {self.with_image / of_points:.1%} with an image, "
            f"{self.with_entity / of_points:.1%} with an entity"
        )


@dataclass(frozen=True)
class MainClass:
    """The class on which most labelled points of a phrase lie. purity: their share of its labelled points."""

    name: str
    purity: float


@dataclass(frozen=True)
class Share:
    """A share of points, and the share that chance reaches: the same phrases, shuffled over the points."""

    found: float
    by_chance: float

    @property
    def gained(self) -> float:
        """How much of what chance leaves is reached: 0 for chance, 1 for all points."""
        return (self.found - self.by_chance) / (1 - self.by_chance) if self.by_chance < 1 else 0.0


class Agreement:
    """Points by phrase and class over labelled scans. Points without a label are left out.

    scans: number of scans added.
    points (C,) int64: labelled points of each class, with and without a phrase.
    of_phrase: phrase -> its labelled points by class, (C,) int64.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)
        self.scans = 0
        self.points = np.zeros(len(self.class_names), np.int64)
        self.of_phrase: dict[str, np.ndarray] = {}

    def add(self, scan: PairedScan) -> None:
        """Count one labelled scan."""
        assert scan.labels is not None
        count, pairs = len(self.points), scan.pairs
        judged = scan.labels != IGNORE
        self.scans += 1
        self.points += np.bincount(scan.labels[judged], minlength=count)
        judged &= pairs.entity != NONE
        cells = pairs.entity[judged].astype(np.int64) * count + scan.labels[judged]
        table = np.bincount(cells, minlength=len(pairs.phrases) * count).reshape(-1, count)
        for phrase, row in zip(pairs.phrases, table):
            self.of_phrase[phrase] = self.of_phrase.get(phrase, 0) + row

    @property
    def judged(self) -> int:
        """The labelled points with a phrase."""
        return sum(int(row.sum()) for row in self.of_phrase.values())

    def purity(self) -> Share | None:
        """Share of the labelled points with a phrase that have its most frequent class; None if none has one.

        It says how well phrases separate classes, and nothing of what they mean: "sky" on every car is pure.
        Decision: a phrase's most frequent class is found on the points that are then counted. So even
        shuffled phrases reach the share of the largest class, and rare ones more. What they reach is drawn:
        the mean of ten tables with the same numbers of points by phrase and by class, with a fixed seed.
        """
        from scipy.stats import random_table  # a second to import, and only this needs it

        if not self.judged:
            return None
        table = np.stack(list(self.of_phrase.values()))
        by_phrase, by_class = table.sum(axis=1), table.sum(axis=0)
        drawn = random_table(by_phrase, by_class).rvs(_DRAWS, method="patefield", random_state=0)
        total = int(table.sum())
        return Share(int(table.max(axis=1).sum()) / total, drawn.max(axis=2).sum() / _DRAWS / total)

    def truth(self, classes_of: Mapping[str, Collection[int]]) -> Share | None:
        """Share of the labelled points with a phrase whose phrase names their class; None if none has one.

        classes_of: phrase -> the train ids of the classes that it names. By chance: its exact expectation.
        """
        if not self.judged:
            return None
        by_class: np.ndarray = sum(self.of_phrase.values(), np.zeros_like(self.points))
        total = self.judged
        named = [(row, list(classes_of.get(phrase, ()))) for phrase, row in self.of_phrase.items()]
        right = sum(int(row[classes].sum()) for row, classes in named)
        expected = sum(int(row.sum()) * int(by_class[classes].sum()) / total for row, classes in named)
        return Share(right / total, expected / total)

    def main_classes(self) -> dict[str, MainClass]:
        """phrase -> its main class, for the phrases that have labelled points."""
        return {
            phrase: MainClass(self.class_names[row.argmax()], int(row.max()) / int(row.sum()))
            for phrase, row in self.of_phrase.items()
            if row.any()
        }
