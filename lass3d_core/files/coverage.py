"""Counts over pair shards: how many points have text, and on which of the C classes each phrase lies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lass3d_core.labels import IGNORE
from lass3d_core.records import NONE, PairedScan


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


class Agreement:
    """Points by phrase and class over labelled scans. Points without a label are left out.

    Decision: a phrase has no class ("automobile" is no name of the label space), so its main class stands in.
    The main class is found on the same points that are then judged, so `share` is an upper bound.

    scans: number of scans added.
    points (C,) int64: labelled points of each class, with and without an entity.
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
    def share(self) -> float | None:
        """Share of the labelled points with an entity that have their phrase's main class; None if none."""
        rows = self.of_phrase.values()
        total = sum(int(row.sum()) for row in rows)
        return sum(int(row.max()) for row in rows) / total if total else None

    def main_classes(self) -> dict[str, MainClass]:
        """phrase -> its main class, for the phrases that have labelled points."""
        return {
            phrase: MainClass(self.class_names[row.argmax()], int(row.max()) / int(row.sum()))
            for phrase, row in self.of_phrase.items()
            if row.any()
        }
