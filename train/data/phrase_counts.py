"""How often each phrase meets each class in the labelled scans of a run. Counted once, before training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lass3d_core.labels import IGNORE, class_phrase
from lass3d_core.records import NONE, PairedScan, labels_or_ignore
from train.data.paired_scans import PairedScans
from train.data.text_batches import TextRowsOf, votes_of
from train.data.voxel_votes import point_votes
from train.methods.parts.label_prior import LabelledVotes, PhraseCounts
from train.methods.parts.votes import PhraseVotes

MOST_FOLDS = 5
MOST_POINTS = 1_000_000
"""Of all labelled scans together, drawn evenly, that are kept one by one: 100 bytes each."""


def phrase_counts(pairs: PairedScans, labelled: Sequence[str]) -> PhraseCounts:
    """Count points by phrase and class in the scans `labelled`. Scan i is in fold i modulo the folds.

    Raises CorruptArtifact, StaleArtifact.
    """
    table, rows_of = pairs.text_table, TextRowsOf(pairs.text_table)
    folds, phrases = min(MOST_FOLDS, len(labelled)), len(table.phrases)
    counts = np.zeros((folds, phrases * pairs.num_classes))
    found, most = [], MOST_POINTS // max(1, len(labelled))
    for number, scan_id in enumerate(labelled):  # no other scan is read, so no label can leak
        label, votes = _named_points(pairs.read(scan_id), rows_of)
        cells = votes.phrase * pairs.num_classes + label[:, None]
        counts[number % folds] += np.bincount(
            cells[votes.phrase >= 0].numpy(), votes.share[votes.phrase >= 0].numpy(), counts.shape[1]
        )
        some = torch.from_numpy(np.random.default_rng(number).permutation(len(label))[:most])
        found.append(LabelledVotes(torch.full_like(some, number % folds), label[some], votes[some]))
    return PhraseCounts(
        counts=torch.from_numpy(counts.reshape(folds, phrases, pairs.num_classes).astype(np.float32)),
        rows=torch.from_numpy(table.phrase_rows.astype(np.float32)),
        named=torch.from_numpy(_named(table.phrases, pairs.header.class_names)),
        points=_together(found),
    )


def _named_points(scan: PairedScan, rows_of: TextRowsOf) -> tuple[torch.Tensor, PhraseVotes]:
    """The classes (n,) int64 of the points that have a class and a phrase, and the votes on them."""
    labels = labels_or_ignore(scan.labels, len(scan.points))
    rows = np.append(rows_of.phrase_rows(scan.pairs.phrases), NONE)[votes_of(scan.pairs).phrase]
    known = np.flatnonzero((labels != IGNORE) & (scan.pairs.entity != NONE))
    return torch.from_numpy(labels[known].astype(np.int64)), point_votes(scan, rows, known)


def _together(found: Sequence[LabelledVotes]) -> LabelledVotes | None:
    if not found:
        return None
    fold, label, votes = zip(*found)
    return LabelledVotes(torch.cat(fold), torch.cat(label), PhraseVotes.cat(votes))


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
