"""How often each phrase meets each class in the labelled scans of a run. Counted once, before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from lass3d_core.labels import IGNORE
from lass3d_core.records import NONE, PairedScan, labels_or_ignore
from lass3d_core.words.lexicon import Lexicon
from train.data.contradictions import Contradictions
from train.data.paired_scans import PairedScans
from train.data.text_batches import TextRowsOf, votes_of
from train.data.voxel_votes import point_votes
from train.methods.parts.label_prior import LabelledVotes, PhraseCounts, scene_votes
from train.methods.parts.votes import PhraseVotes

MOST_FOLDS = 5
MOST_POINTS = 1_000_000
"""Of all labelled scans together, drawn evenly, that are kept one by one: 100 bytes each."""


def phrase_counts(
    pairs: PairedScans, labelled: Sequence[str], synonyms: Mapping[str, Sequence[str]]
) -> PhraseCounts:
    """Count points by phrase and class in the scans `labelled`. Scene i is in fold i modulo the folds.

    synonyms: class name -> further words for it, from the manifest.
    Raises CorruptArtifact, StaleArtifact.
    """
    table, rows_of = pairs.text_table, TextRowsOf(pairs.text_table)
    scenes = scenes_of(labelled)
    folds, phrases = min(MOST_FOLDS, len(scenes)), len(table.phrases)
    shape = (phrases, pairs.num_classes)
    counts, votes_of_scenes = torch.zeros(folds, *shape), torch.zeros(folds, *shape)
    found, most = [], MOST_POINTS // max(1, len(labelled))
    names = pairs.header.class_names
    means = _meanings(table.phrases, names, synonyms)
    contradictions = Contradictions(means)
    for number, scans in enumerate(scenes):
        fold, of_scene = number % folds, torch.zeros(shape, dtype=torch.float64)
        for scan_id in scans:  # no other scan is read, so no label can leak
            label, votes = _named_points(pairs.read(scan_id), rows_of)
            cells, named = votes.phrase * pairs.num_classes + label[:, None], votes.phrase >= 0
            of_scene += torch.bincount(
                cells[named], votes.share[named].double(), minlength=of_scene.numel()
            ).view(shape)
            # Scans are drawn by their place among the labelled ones.
            rng = np.random.default_rng(labelled.index(scan_id))
            some = torch.from_numpy(rng.permutation(len(label))[:most])
            found.append(LabelledVotes(torch.full_like(some, fold), label[some], votes[some]))
        counts[fold] += of_scene.float()
        votes_of_scenes[fold] += scene_votes(of_scene.float())
        contradictions.add(of_scene.numpy())
    return PhraseCounts(
        counts=counts,
        scenes=votes_of_scenes,
        rows=torch.from_numpy(table.phrase_rows.astype(np.float32)),
        means=torch.from_numpy(means),
        points=_together(found),
        contradictions=contradictions.lines(table.phrases, names),
    )


def scenes_of(labelled: Sequence[str]) -> list[list[str]]:
    """The labelled scans by scene, in the order of the first scan of each.

    Decision: a scene is a sequence, that is what stands before the last "/" of a scan id. Scans of one drive
    show the same street. If all labelled scans come from one sequence, each scan is a scene.
    """
    scenes: dict[str, list[str]] = {}
    for scan_id in labelled:
        scenes.setdefault(scan_id.rpartition("/")[0], []).append(scan_id)
    return list(scenes.values()) if len(scenes) > 1 else [[scan_id] for scan_id in labelled]


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


def _meanings(
    phrases: Sequence[str], class_names: Sequence[str], synonyms: Mapping[str, Sequence[str]]
) -> np.ndarray:
    """The classes that the words of each phrase name, (P,C) bool."""
    lexicon = Lexicon(class_names, synonyms)
    means = np.zeros((len(phrases), len(class_names)), bool)
    for row, phrase in enumerate(phrases):
        means[row, list(lexicon.classes_of(phrase))] = True
    return means
