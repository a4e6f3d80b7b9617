"""Which unlabelled training scans to label next: those whose labels would teach a trained network most.

Letters: S unlabelled scans, L labelled scans, C classes, D channels of the features, K numbers per scan.

Decision: score = (uncertainty + disagreement) / 2 * variety. Each is divided by its mean over the unlabelled
scans. The scan with the highest score is taken, then variety is measured again.
- Uncertainty and disagreement are added, because either shows an error that the other misses. A network
  that never met a class may be sure of a wrong one and change its mind if the scan is turned.
- Variety is a factor, because a copy of a labelled or chosen scan teaches nothing, even if the network is
  unsure of it.
- With the means as units there is no weight to tune: twice the average uncertainty counts as much as twice
  the average disagreement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lass3d_core.errors import DataError
from lass3d_core.progress.bars import progress_bar
from train.outputs.scan_answers import ScanAnswer, ScanNetwork
from train.report.words import counted
from train.runs.run import Run

VIEWS = 4
"""The scan as it is, mirrored, turned by half a circle, and both."""


@dataclass(frozen=True)
class ScanFigures:
    """What is kept of the answer for one scan: the fields and properties of ScanAnswer of these names."""

    scan_id: str
    uncertainty: float
    disagreement: float
    unsure_class: int
    class_counts: np.ndarray
    class_features: np.ndarray

    @classmethod
    def of(cls, answer: ScanAnswer) -> ScanFigures:
        """Summarise an answer."""
        return cls(
            answer.scan_id,
            answer.uncertainty,
            answer.disagreement,
            answer.unsure_class,
            answer.class_counts,
            answer.class_features,
        )


@dataclass(frozen=True)
class Pick:
    """A chosen scan."""

    scan: int  # its place among the S unlabelled scans
    score: float
    variety: float  # distance to the nearest scan that is labelled or chosen before
    nearest: int  # that scan's place among the L labelled scans; from L on, among the unlabelled ones
    relative: tuple[float, float, float]  # uncertainty, disagreement and variety, each divided by its mean


@dataclass(frozen=True)
class Suggestion:
    """A scan to label."""

    rank: int
    figures: ScanFigures
    pick: Pick
    unsure_at: str  # name of the predicted class whose points hold the most entropy
    nearest: str  # the most similar scan that is labelled or ranks before


@dataclass(frozen=True)
class Suggestions:
    """The scans to label."""

    scans: tuple[Suggestion, ...]  # best first
    labelled: tuple[str, ...]  # scans whose labels the run learnt from, as far as they are there
    unlabelled: int  # how many scans there are to choose from


def suggest(run: Run, count: int) -> Suggestions:
    """The `count` unlabelled training scans that teach most, or all if there are fewer.

    Scans that joined the data after the training are among them.
    Raises DataError (count below 1, nothing to choose from), MissingArtifact, CorruptArtifact.
    """
    if count < 1:
        raise DataError(f"N (--count) is the number of scans to suggest and must be at least 1, got {count}")
    labelled_ids, unlabelled_ids = training_scans(run)
    labelled, unlabelled = _asked(ScanNetwork.of(run), labelled_ids, unlabelled_ids)
    centre = mean_features(labelled)
    picks = choose(
        np.array([one.uncertainty for one in unlabelled]),
        np.array([one.disagreement for one in unlabelled]),
        descriptors(unlabelled, centre),
        descriptors(labelled, centre),
        count,
    )
    names, everything = run.pairs.header.class_names, [*labelled_ids, *unlabelled_ids]
    scans = (
        Suggestion(rank, one, pick, names[one.unsure_class], everything[pick.nearest])
        for rank, pick in enumerate(picks, 1)
        for one in (unlabelled[pick.scan],)
    )
    return Suggestions(tuple(scans), tuple(labelled_ids), len(unlabelled))


def training_scans(run: Run) -> tuple[list[str], list[str]]:
    """The labelled and the unlabelled training scans that are there now. Raises DataError if one is empty."""
    learnt, here = set(run.split.labelled), run.pairs.splits["train"]
    labelled = [scan_id for scan_id in here if scan_id in learnt]
    unlabelled = [scan_id for scan_id in here if scan_id not in learnt]
    if not labelled:
        raise DataError(
            f"{run.pairs.folder / 'pairs'} holds none of the {counted(len(learnt), 'labelled scan')} of "
            f"{run.folder.path}; name the data set that it was trained on with DATASET=NAME (--dataset)"
        )
    if not unlabelled:
        raise DataError(
            f"each of the {counted(len(labelled), 'training scan')} of {run.folder.path} is labelled; "
            "there is none to suggest"
        )
    return labelled, unlabelled


def _asked(
    network: ScanNetwork, labelled_ids: Sequence[str], unlabelled_ids: Sequence[str]
) -> tuple[list[ScanFigures], list[ScanFigures]]:
    """The figures of the labelled and of the unlabelled scans. Only the unlabelled ones are turned."""
    labelled: list[ScanFigures] = []
    unlabelled: list[ScanFigures] = []
    count = len(labelled_ids) + len(unlabelled_ids)
    with progress_bar(total=count, desc="asking the network", unit="scan", leave=False) as bar:
        for kept, scan_ids, views in ((labelled, labelled_ids, 1), (unlabelled, unlabelled_ids, VIEWS)):
            for answer in network.answers(scan_ids, views):
                kept.append(ScanFigures.of(answer))
                bar.update()
    return labelled, unlabelled


def mean_features(scans: Iterable[ScanFigures]) -> np.ndarray:
    """The mean features (D,) of all points of `scans`."""
    sums = sum(one.class_counts @ one.class_features.astype(float) for one in scans)
    return np.asarray(sums / max(1, sum(int(one.class_counts.sum()) for one in scans)))


def descriptors(scans: Sequence[ScanFigures], centre: np.ndarray) -> np.ndarray:
    """What each scan is like, (S, K = C D): per class sqrt(share of points) * (mean features - centre).

    So two scans differ if a class is in one alone, or looks different in them.
    """
    # The root gives a class with 1 % of the points a tenth of the length of a whole scan, not a hundredth.
    rows = [
        np.sqrt(one.class_counts / max(1, one.class_counts.sum()))[:, None] * (one.class_features - centre)
        for one in scans
    ]
    return np.stack(rows).reshape(len(scans), -1).astype(np.float32)


def choose(
    uncertainty: np.ndarray,
    disagreement: np.ndarray,
    unlabelled: np.ndarray,
    labelled: np.ndarray,
    count: int,
) -> list[Pick]:
    """Take up to `count` scans by the rule above, one by one. Of equal scans the first is taken.

    uncertainty (S,), disagreement (S,), descriptors unlabelled (S,K) and labelled (L,K).
    """
    unsure, unsteady = relative(uncertainty), relative(disagreement)
    teaches = (unsure + unsteady) / 2
    distance, nearest = np.full(len(unlabelled), np.inf), np.zeros(len(unlabelled), int)
    for place, row in enumerate(labelled):
        _bring_nearer(distance, nearest, unlabelled, row, place)
    unit = float(distance.mean()) or 1.0
    left, picks = np.ones(len(unlabelled), bool), []
    for _ in range(min(count, len(unlabelled))):
        score = np.where(left, teaches * distance / unit, -1)
        best = np.flatnonzero(score == score.max())
        chosen = int(best[np.argmax(teaches[best])])  # all scores may be 0: only copies are left
        figures = (float(unsure[chosen]), float(unsteady[chosen]), float(distance[chosen] / unit))
        picks.append(
            Pick(chosen, float(score[chosen]), float(distance[chosen]), int(nearest[chosen]), figures)
        )
        left[chosen] = False
        _bring_nearer(distance, nearest, unlabelled, unlabelled[chosen], len(labelled) + chosen)
    return picks


def relative(figures: np.ndarray) -> np.ndarray:
    """figures (S,), none negative, divided by their mean; 1 everywhere if all are 0."""
    mean = figures.mean()
    return figures / mean if mean > 0 else np.ones(len(figures))


def _bring_nearer(
    distance: np.ndarray, nearest: np.ndarray, scans: np.ndarray, row: np.ndarray, place: int
) -> None:
    """Update the distances (S,) and the places of the nearest scans (S,) for a further scan `row` (K,)."""
    to_row = np.linalg.norm(scans - row, axis=1)
    closer = to_row < distance
    distance[closer], nearest[closer] = to_row[closer], place
