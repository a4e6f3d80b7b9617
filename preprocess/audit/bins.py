"""Words against labels by bins: how far a point is, how clear its vote was, how many images voted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lass3d_core.labels import IGNORE
from lass3d_core.manifest.schema import DatasetSpec
from lass3d_core.records import NONE, PairedScan
from lass3d_core.words.lexicon import Lexicon

DISTANCES = (10.0, 20.0, 40.0), ("0-10 m", "10-20 m", "20-40 m", "beyond 40 m")
MARGINS = (0.2, 0.4, 0.6, 0.8), ("below 0.2", "0.2-0.4", "0.4-0.6", "0.6-0.8", "0.8-1")
IMAGES = (2, 4, 8), ("1", "2-3", "4-7", "8 or more")


@dataclass(frozen=True)
class DistanceRow:
    """The labelled points of a range of distances. A share of no point is None."""

    name: str
    points: int  # labelled ones
    with_phrase: float | None  # share of these points
    named: float | None  # share of the points with a phrase whose phrase names their class


@dataclass(frozen=True)
class VoteRow:
    """The labelled points whose phrase was voted with a margin, or by a number of images, in a range."""

    name: str
    points: int  # labelled ones with a phrase
    share: float  # of all labelled points with a voted phrase
    named: float | None  # share of these points whose phrase names their class; None of no point


@dataclass(frozen=True)
class Tables:
    """The rows by bin. The last two are empty without a vote.

    remark: why by_distance is empty, else empty.
    """

    by_distance: tuple[DistanceRow, ...]
    remark: str
    by_margin: tuple[VoteRow, ...]
    by_images: tuple[VoteRow, ...]


class Bins:
    """Counts of labelled points by bins of one quantity.

    edges (B-1): the smallest value of each bin but the first, ascending. names (B): of the bins.
    points, with_phrase, named (B,) int64: all, those with a phrase, and those whose phrase names their class.
    """

    def __init__(self, edges: Sequence[float], names: Sequence[str]) -> None:
        self._edges, self.names = edges, tuple(names)
        self.points, self.with_phrase, self.named = np.zeros((3, len(self.names)), np.int64)

    def add(self, values: np.ndarray, has_phrase: np.ndarray, right: np.ndarray) -> None:
        """Count points (n,): their values, whether each has a phrase, whether it names the point's class."""
        # Edges of the values' own type, so that 0.2 in float32 is not below an edge of 0.2.
        bins = np.digitize(values, np.array(self._edges, values.dtype))
        for counts, counted in (
            (self.points, slice(None)),
            (self.with_phrase, has_phrase),
            (self.named, right),
        ):
            counts += np.bincount(bins[counted], minlength=len(counts))

    def distance_rows(self) -> Iterator[DistanceRow]:
        """Yield a row for each bin."""
        for name, points, phrase, named in self._rows():
            yield DistanceRow(name, points, _share(phrase, points), _share(named, phrase))

    def vote_rows(self) -> Iterator[VoteRow]:
        """Yield a row for each bin; none if no point was counted."""
        total = int(self.with_phrase.sum())
        for name, _, phrase, named in self._rows() if total else ():
            yield VoteRow(name, phrase, phrase / total, _share(named, phrase))

    def _rows(self) -> Iterator[tuple[str, int, int, int]]:
        return zip(self.names, self.points.tolist(), self.with_phrase.tolist(), self.named.tolist())


class TruthByBins:
    """Counts the points of labelled scans by distance and, if their phrases were voted, by the vote.

    classes: how many there are. remark: why distances are not counted; empty if they are.
    """

    def __init__(self, classes: int, lexicon: Lexicon, remark: str = "") -> None:
        self._classes, self._lexicon, self._remark = classes, lexicon, remark
        self._distance, self._margin, self._images = Bins(*DISTANCES), Bins(*MARGINS), Bins(*IMAGES)

    def add(self, scan: PairedScan) -> None:
        """Count the labelled points of one labelled scan."""
        assert scan.labels is not None
        judged = np.flatnonzero(scan.labels != IGNORE)
        has_phrase = scan.pairs.entity[judged] != NONE
        right = has_phrase.copy()
        paired = judged[has_phrase]
        right[has_phrase] = self._named_by(scan.pairs.phrases)[scan.pairs.entity[paired], scan.labels[paired]]
        if not self._remark:
            self._distance.add(np.linalg.norm(scan.points[judged], axis=1), has_phrase, right)
        if (votes := scan.pairs.votes) is not None:
            for bins, values in ((self._margin, votes.margin), (self._images, votes.views)):
                bins.add(values[paired], has_phrase[has_phrase], right[has_phrase])

    def _named_by(self, phrases: Sequence[str]) -> np.ndarray:
        """Which class each of P phrases names, (P,C) bool."""
        named = np.zeros((len(phrases), self._classes), bool)
        for row, phrase in zip(named, phrases):
            row[list(self._lexicon.classes_of(phrase))] = True
        return named

    def tables(self) -> Tables:
        """The rows of everything that was counted."""
        return Tables(
            by_distance=() if self._remark else tuple(self._distance.distance_rows()),
            remark=self._remark,
            by_margin=tuple(self._margin.vote_rows()),
            by_images=tuple(self._images.vote_rows()),
        )


def without_distance(spec: DatasetSpec) -> str:
    """Why the origin of the points is not the sensor, so that they have no distance; empty if it is."""
    if spec.reader == "scannet":
        return "the points of the reader scannet are in the frame of the room, not of the sensor"
    if spec.origin:
        return "`origin` puts the points into the frame of a map, not of the sensor"
    return ""


def in_words(found: Tables) -> Iterator[str]:
    """The lines for the user: a table for each quantity, with empty lines between them."""
    if found.remark:
        yield f"by distance: left out, {found.remark}"
    else:
        yield from _distance_table(found.by_distance)
    if found.by_margin:
        yield ""
        yield "by margin, the lead of the first phrase in a point's vote: the share of points; named as above"
        yield from _vote_table("margin", found.by_margin)
        yield ""
        yield "by the number of images that voted on a point: the share of points; named as above"
        yield from _vote_table("images", found.by_images)


def _distance_table(rows: Sequence[DistanceRow]) -> Iterator[str]:
    yield "by distance from the sensor: the share with a phrase; of those, whose phrase names the class"
    yield f"{'distance':11} {'points':>9} {'phrase':>6} {'named':>6}"
    for row in rows:
        yield f"{row.name:11} {row.points:9d} {_percent(row.with_phrase)} {_percent(row.named)}"


def _vote_table(head: str, rows: Sequence[VoteRow]) -> Iterator[str]:
    yield f"{head:11} {'points':>9} {'share':>6} {'named':>6}"
    for row in rows:
        yield f"{row.name:11} {row.points:9d} {_percent(row.share)} {_percent(row.named)}"


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _percent(share: float | None) -> str:
    return f"{'-':>6}" if share is None else f"{share:6.0%}"
