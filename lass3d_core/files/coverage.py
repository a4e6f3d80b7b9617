"""Counts over pair shards: what scans and points have, and on which of the C classes each phrase lies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from lass3d_core.labels import IGNORE
from lass3d_core.records import NONE, PairedScan

_DRAWS = 10


class ScanCounts(NamedTuple):
    """What one scan has. A pair shard stores it for each of its scans."""

    points: int
    has_labels: int  # 1, or 0 if the scan has no labels
    labelled_points: int  # whose label is not IGNORE
    images: int  # readable, with a camera; images of earlier scans count too
    points_in_image: int
    points_with_phrase: int
    points_at_origin: int  # at (0, 0, 0): a beam without an echo

    @classmethod
    def of(cls, scan: PairedScan) -> ScanCounts:
        """Count one scan."""
        labels, pairs = scan.labels, scan.pairs
        return cls(
            len(scan.points),
            int(labels is not None),
            0 if labels is None else int(np.count_nonzero(labels != IGNORE)),
            len(pairs.image_ids),
            int((pairs.image != NONE).any(axis=1).sum()),
            int(np.count_nonzero(pairs.entity != NONE)),
            int((scan.points == 0).all(axis=1).sum()),
        )


@dataclass
class Coverage:
    """How many of the added scans and points have labels, an image, an entity, and each phrase."""

    scans: int = 0
    labelled_scans: int = 0
    scans_with_image: int = 0
    points: int = 0
    labelled_points: int = 0
    with_image: int = 0
    with_entity: int = 0
    at_origin: int = 0
    phrases: Counter[str] = field(default_factory=Counter)  # empty if only counts were added

    def count(self, one: ScanCounts) -> None:
        """Count one more scan, all but its phrases."""
        self.scans += 1
        self.labelled_scans += one.has_labels
        self.scans_with_image += one.images > 0
        self.points += one.points
        self.labelled_points += one.labelled_points
        self.with_image += one.points_in_image
        self.with_entity += one.points_with_phrase
        self.at_origin += one.points_at_origin

    def add(self, scan: PairedScan, stored: ScanCounts | None = None) -> None:
        """Count one more scan and its phrases. stored: its counts, if it was read without labels."""
        self.count(stored or ScanCounts.of(scan))
        pairs = scan.pairs
        points_of = np.bincount(pairs.entity[pairs.entity != NONE], minlength=len(pairs.phrases))
        self.phrases += Counter(dict(zip(pairs.phrases, points_of.tolist())))

    def __str__(self) -> str:
        of_points = max(self.points, 1)
        return (
            f"{self.scans} scan{'' if self.scans == 1 else 's'}, {self.labelled_scans} with labels, "
            f"{self.scans_with_image} with images; {100 * self.with_image / of_points:.1f} % of points in an "
            f"image, {100 * self.with_entity / of_points:.1f} % with a phrase"
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
