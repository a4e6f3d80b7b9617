"""A stress test: phrases that are wrong on purpose."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lass3d_core.records import PairedScan


@dataclass(frozen=True)
class StressConfig:
    """misnamed: share of a scan's phrases that are exchanged for others of the data set, drawn at random.

    on: the labelled scans too, where a method may count what phrases mean, or the unlabelled ones alone.
    """

    misnamed: float = 0.0
    on: Literal["every", "unlabelled"] = "every"

    def __post_init__(self) -> None:
        if not 0 <= self.misnamed <= 1:
            raise ValueError(f"misnamed must lie in [0, 1], got {self.misnamed}")

    def of_labelled(self) -> float:
        """The share in a labelled scan."""
        return self.misnamed if self.on == "every" else 0.0


def misnamed(scan: PairedScan, share: float, vocabulary: Sequence[str], seed: int) -> PairedScan:
    """The scan with `share` of its phrases exchanged, all points of a phrase alike, always the same way."""
    if not share:
        return scan
    rng = np.random.default_rng((seed, zlib.crc32(scan.scan_id.encode())))
    phrases = tuple(
        vocabulary[rng.integers(len(vocabulary))] if rng.random() < share else phrase
        for phrase in scan.pairs.phrases
    )
    return replace(scan, pairs=replace(scan.pairs, phrases=phrases))
