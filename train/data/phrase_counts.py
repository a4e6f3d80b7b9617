"""How often each phrase meets each class in the labelled scans of a run. Counted once, before training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lass3d_core.labels import IGNORE, class_phrase
from lass3d_core.records import NONE, PairedScan, labels_or_ignore
from train.data.paired_scans import PairedScans
from train.data.text_batches import TextRowsOf
from train.methods.parts.label_prior import PhraseCounts

MOST_FOLDS = 5


def phrase_counts(pairs: PairedScans, labelled: Sequence[str]) -> PhraseCounts:
    """Count points by phrase and class in the scans `labelled`. Scan i is in fold i modulo the folds.

    Raises CorruptArtifact, StaleArtifact.
    """
    table, rows_of = pairs.text_table, TextRowsOf(pairs.text_table)
    shape = (min(MOST_FOLDS, len(labelled)), len(table.phrases), pairs.num_classes)
    counts = np.zeros((shape[0], shape[1] * shape[2]), np.int64)
    for number, scan_id in enumerate(labelled):  # no other scan is read, so no label can leak
        scan = pairs.read(scan_id)
        cells = _cells(scan, rows_of, pairs.num_classes)
        counts[number % shape[0]] += np.bincount(cells, minlength=counts.shape[1])
    return PhraseCounts(
        counts=torch.from_numpy(counts.reshape(shape).astype(np.float32)),
        rows=torch.from_numpy(table.phrase_rows.astype(np.float32)),
        named=torch.from_numpy(_named(table.phrases, pairs.header.class_names)),
    )


def _cells(scan: PairedScan, rows_of: TextRowsOf, num_classes: int) -> np.ndarray:
    """phrase row * C + class of every point that has both."""
    labels = labels_or_ignore(scan.labels, len(scan.points))
    counted = (labels != IGNORE) & (scan.pairs.entity != NONE)
    rows = rows_of.phrase_rows(scan.pairs.phrases)[scan.pairs.entity[counted]]
    return rows * num_classes + labels[counted]


def _named(phrases: Sequence[str], class_names: Sequence[str]) -> np.ndarray:
    """The class that each phrase names, (P,) int64, or NONE: the phrase has all words of the class name.

    Of several classes ("traffic sign pole") it is the one with most words, then the first.
    """
    words = {index: set(class_phrase(name).split()) for index, name in enumerate(class_names)}
    found = np.full(len(phrases), NONE, np.int64)
    for row, phrase in enumerate(phrases):
        named = [index for index, name in words.items() if name <= set(phrase.split())]
        if named:
            found[row] = max(named, key=lambda index: len(words[index]))
    return found
