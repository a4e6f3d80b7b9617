"""Score queries: ask for the name of every class, and see how far the points of the class come first.

Letters: N points, C classes, T texts, L levels of similarity.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lass3d_core.errors import CorruptArtifact, DataError, MissingArtifact, UnknownName
from lass3d_core.files.json_files import read_json, write_json
from lass3d_core.files.query_texts import query_rows
from lass3d_core.labels import IGNORE, class_phrase
from lass3d_core.settings import nearest, read, to_json
from train.data.evaluation_scans import EvaluationScan, scan_loader
from train.evaluate import with_progress
from train.outputs.query import QueryNetwork
from train.report.words import counted, percent, scans_of
from train.runs.run import Run

# Similarities from -1 to 1 are rounded to so many levels, so that the counts of any split fit in memory.
LEVELS = 1 << 16


@dataclass(frozen=True)
class Retrieval:
    """retrieval-<split>.json: average precision of each class's name as a query, over a split's points."""

    run_digest: str
    split: str
    class_names: tuple[str, ...]
    queries: tuple[str, ...]  # the text asked for, one per class
    average_precision: tuple[float | None, ...]  # in [0,1], one per class; None if the class does not occur
    share: tuple[float, ...]  # each class's share of the labelled points: a random order would reach it
    mean: float  # of `average_precision` over the classes that occur
    chance: float  # the mean of `share` over the same classes
    scans: int  # of the split, those that have labels
    points: int
    split_scans: int | None = None  # all scans of the split; None in files of before

    def save(self, path: Path) -> None:
        """Write the JSON, whole or not at all. Raises StorageError."""
        write_json(path, to_json(self))

    @classmethod
    def load(cls, path: Path) -> Retrieval:
        """What `save` wrote. Raises MissingArtifact, CorruptArtifact."""
        again = "`make query SCORE=1` writes it"
        try:
            return read(cls, read_json(path))
        except FileNotFoundError:
            raise MissingArtifact(f"{path} is missing; {again}") from None
        except (OSError, ValueError) as error:
            raise CorruptArtifact(f"{path} holds no retrieval score ({error}); delete it, {again}") from None

    def points_of(self, share: float) -> int:
        """The number of points that is `share` of all."""
        return round(share * self.points)

    def best_found(self) -> list[tuple[str, float | None, float]]:
        """(query, average precision, share) of the classes that occur, the best found first."""
        rows = zip(self.queries, self.average_precision, self.share)
        return sorted((row for row in rows if row[2]), key=lambda row: -(row[1] or 0.0))


def average_precision(found: np.ndarray, seen: np.ndarray) -> float:
    """AP = sum_k precision_k * (recall_k - recall_(k-1)) over levels k of similarity, the highest first.

    found, seen (L,) int64: points of the class, and all points, at each level, the lowest level first.
    Returns NaN if no point is of the class.
    """
    # precision_k counts all points down to level k. So points of one level, such as the points of one voxel,
    # have no order among them.
    found, seen = found[::-1], seen[::-1]
    so_far = np.cumsum(found)
    precision = so_far / np.maximum(np.cumsum(seen), 1)
    return float((precision * found).sum() / so_far[-1]) if so_far[-1] else float("nan")


def levels(similarity: np.ndarray) -> np.ndarray:
    """Similarities (N,C) in [-1,1] as levels 0 ... LEVELS - 1, int64."""
    return np.rint((similarity.clip(-1, 1).astype(np.float64) + 1) / 2 * (LEVELS - 1)).astype(np.int64)


def count(
    network: QueryNetwork, scans: Iterable[EvaluationScan], rows: np.ndarray, classes: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Count the labelled points of `scans` by level: the points of the class sought, and all points.

    rows (T,D): rows of the texts asked for. classes: for each text, the train id that it should find.
    Returns found, seen (T,L) int64.
    """
    found, seen = (np.zeros((len(rows), LEVELS), np.int64) for _ in range(2))
    for scan in scans:
        counts = scan.labels != IGNORE
        level, label = levels(network.answer(scan, rows)[0][counts]), scan.labels[counts]
        for index, train_id in enumerate(classes):
            seen[index] += np.bincount(level[:, index], minlength=LEVELS)
            found[index] += np.bincount(level[label == train_id, index], minlength=LEVELS)
    return found, seen


def score_queries(run: Run, split: str) -> str:
    """Ask for every class on `split`, write the score into the run's folder, and return it in words.

    Raises UnknownName (no such split), DataError (no labelled point in it), MissingArtifact (the name of a
    class has no text row, or the run has no query head).
    """
    if split not in run.pairs.splits:
        raise UnknownName(f"--split: there is no split {split!r}{nearest(split, run.pairs.splits)}")
    scan_ids = run.pairs.labelled_scans(split)
    if not scan_ids:
        raise DataError(f"no scan of the split {split} has labels; its queries cannot be scored")
    names = run.pairs.header.class_names
    queries = tuple(map(class_phrase, names))
    network, rows = QueryNetwork.of(run), query_rows(run.pairs.folder, queries)
    scans = scan_loader(run.whole_scans_of(scan_ids), run.config.data.workers)
    ahead = with_progress(scans, len(scan_ids), f"asking {split}")
    found, seen = count(network, ahead, rows, range(len(names)))
    points = int(seen[0].sum())
    precisions = [average_precision(*counts) for counts in zip(found, seen)]
    shares = found.sum(axis=1) / max(points, 1)
    occurs = shares > 0
    if not occurs.any():
        raise DataError(f"no point of the split {split} has a class; its queries cannot be scored")
    score = Retrieval(
        run_digest=run.saved.digest,
        split=split,
        class_names=names,
        queries=queries,
        average_precision=tuple(None if np.isnan(value) else value for value in precisions),
        share=tuple(shares.tolist()),
        mean=float(np.mean(np.array(precisions)[occurs])),
        chance=float(shares[occurs].mean()),
        scans=len(scan_ids),
        points=points,
        split_scans=len(run.pairs.splits[split]),
    )
    path = run.folder.retrieval(split)
    score.save(path)
    return f"{retrieval_table(score)}\nwrote {path}"


def retrieval_table(score: Retrieval) -> str:
    """The score for the terminal, in per cent."""
    wide = max(map(len, score.queries))
    rows = [
        f"  {query:<{wide}}  {percent(precision, '-'):>4}  chance {percent(share):>4}  "
        f"{counted(score.points_of(share), 'point')}"
        for query, precision, share in zip(score.queries, score.average_precision, score.share)
    ]
    last = (
        f"{score.split}: mAP {percent(score.mean)} % of points ranked by similarity to the class's name, "
        f"chance {percent(score.chance)} %; {counted(score.points, 'point')} of "
        f"{scans_of(score.scans, score.split_scans, score.split)}, no image, no text in the network"
    )
    return "\n".join([*rows, last])
