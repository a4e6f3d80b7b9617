"""How many points have text, and how well the text fits the labels.

Letters: C classes, P phrases.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from lass3d_core.labels import IGNORE
from lass3d_core.records import NONE, PairedScan


@dataclass(frozen=True)
class PhraseUse:
    """points: that carry the phrase in all scans. classes (C,): those in labelled scans, by class."""

    phrase: str
    points: int
    classes: np.ndarray

    @property
    def agreement(self) -> float:
        """Share of the phrase's labelled points that are of its most frequent class; NaN without any."""
        return float(self.classes.max() / self.classes.sum()) if self.classes.sum() else float("nan")


@dataclass(frozen=True)
class TextCoverage:
    """Counts of points over `scans` scans, and the phrases by falling number of points."""

    scans: int
    labelled_scans: int
    points: int
    with_image: int
    with_entity: int
    phrases: tuple[PhraseUse, ...]

    @property
    def agreement(self) -> float:
        """Share of labelled points with an entity whose class is the most frequent one of their phrase.

        Decision: a phrase has no class of its own ("automobile" is no name of the label space), so its most
        frequent class stands in. That class is found on the same points, so the figure is an upper bound.
        """
        total = sum(int(use.classes.sum()) for use in self.phrases)
        return sum(int(use.classes.max()) for use in self.phrases) / total if total else float("nan")


def measure_coverage(
    scans: Iterable[PairedScan], labelled: Collection[str], num_classes: int
) -> TextCoverage:
    """Coverage of `scans`. Labels are read in the scans whose ids are in `labelled` and in no other."""
    count = labelled_count = points = with_image = with_entity = 0
    uses: Counter[str] = Counter()
    classes: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(num_classes, np.int64))
    for scan in scans:
        count, points = count + 1, points + len(scan.points)
        with_image += int((scan.pairs.image != NONE).any(axis=1).sum())
        with_entity += int((scan.pairs.entity != NONE).sum())
        is_labelled = scan.scan_id in labelled and scan.labels is not None
        labelled_count += is_labelled
        for slot, phrase in enumerate(scan.pairs.phrases):
            named = scan.pairs.entity == slot
            uses[phrase] += int(named.sum())
            if is_labelled:
                truth = scan.labels[named]
                classes[phrase] += np.bincount(truth[truth != IGNORE], minlength=num_classes)
    phrases = tuple(PhraseUse(phrase, used, classes[phrase]) for phrase, used in uses.most_common())
    return TextCoverage(count, labelled_count, points, with_image, with_entity, phrases)
