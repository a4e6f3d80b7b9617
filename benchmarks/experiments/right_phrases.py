"""The limit of words: every point that has a phrase gets one that names its true class.

A row of wrong_phrases.py. What LASS3D+ has with these phrases, no better captions and masks can exceed on the
same points. It reads the labels of the unlabelled scans, so it is no method.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from lass3d_core.labels import IGNORE
from lass3d_core.records import NONE, PairedScan, labels_or_ignore
from lass3d_core.words.lexicon import Lexicon
from train.data.paired_scans import PairedScans
from train.runs.run import Run
from train.runs.side_by_side import PlannedRun


@dataclass(frozen=True)
class RightPhrases(PairedScans):
    """Pair shards whose phrases are made right as they are read.

    A point without a phrase stays without. So does, from then on, a point without a label and one whose class
    no phrase of the data set names alone.
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
        place = np.full(IGNORE + 1, NONE, np.int16)
        place[list(of_class)] = np.arange(len(of_class))
        return tuple(of_class.values()), place

    def read(self, scan_id: str) -> PairedScan:
        """One scan."""
        scan = super().read(scan_id)
        phrases, place = self._names
        labels = labels_or_ignore(scan.labels, len(scan.points))
        entity = np.where(scan.pairs.entity == NONE, np.int16(NONE), place[labels])
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
