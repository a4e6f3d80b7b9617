"""What better words could bring: every point that has a phrase gets one that names its true class.

A row of wrong_phrases.py. It reads the labels of the unlabelled scans, so it is no method. Nor is it a strict
limit: seeds differ by more than it gains, and the prior still doubts a name (`method.prior.doubt`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from lass3d_core.errors import DataError
from lass3d_core.labels import IGNORE
from lass3d_core.records import NONE, PairedScan
from lass3d_core.words.lexicon import Lexicon
from train.data.paired_scans import PairedScans
from train.runs.run import Run
from train.runs.side_by_side import PlannedRun


@dataclass(frozen=True)
class RightPhrases(PairedScans):
    """Pair shards whose phrases are made right as they are read.

    A point without a phrase stays without. A point without a label, or of a class that no phrase of the data
    set names alone, loses its phrase.
    """

    @classmethod
    def of(cls, pairs: PairedScans) -> RightPhrases:
        """The same shards, with right phrases."""
        return cls(**{field.name: getattr(pairs, field.name) for field in fields(PairedScans)})

    @cached_property
    def _names(self) -> tuple[tuple[str, ...], np.ndarray]:
        """A phrase for each class that one names alone, and the place (256,) int16 of each class's phrase."""
        lexicon = Lexicon(self.header.class_names, {})
        of_class = {
            next(iter(ids)): one
            for one in self.text_table.phrases
            if len(ids := lexicon.classes_of(one)) == 1
        }
        if not of_class:
            raise DataError("row right: no phrase of the data set names one class alone; leave the row out")
        place = np.full(IGNORE + 1, NONE, np.int16)
        place[list(of_class)] = np.arange(len(of_class))
        return tuple(of_class.values()), place

    def read(self, scan_id: str) -> PairedScan:
        """One scan. Raises DataError if it has no labels, or if no phrase names a class alone."""
        scan = super().read(scan_id)
        phrases, place = self._names
        if scan.labels is None:
            raise DataError(f"row right: scan {scan_id} has no labels to name; leave the row out")
        entity = np.where(scan.pairs.entity == NONE, np.int16(NONE), place[scan.labels])
        return replace(scan, pairs=replace(scan.pairs, entity=entity, phrases=phrases, votes=None))

    @cached_property
    def training_digest(self) -> str:
        """Differs from the digest of the pairs as they are, so that no ordinary command reads such a run."""
        return hashlib.sha256(repr((super().training_digest, "right phrases")).encode()).hexdigest()


@dataclass(frozen=True)
class RightRun(PlannedRun):
    """A run that sees its data through RightPhrases."""

    def open(self, device: str = "cpu", pairs: PairedScans | None = None) -> Run:
        """The run."""
        run = super().open(device, pairs)
        return replace(run, pairs=RightPhrases.of(run.pairs))
