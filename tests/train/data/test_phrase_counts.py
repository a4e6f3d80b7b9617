"""In the tiny scans every point at x > 0 carries the phrase of its own class; the first five are ignored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from lass3d_core.manifest.schema import LabelledSpec
from lass3d_core.records import PairedScan
from train.data.paired_scans import PairedScans
from train.data.phrase_counts import phrase_counts


def test_counts_are_the_labelled_points_by_phrase_and_class(tiny) -> None:
    pairs = PairedScans.open(tiny.artifacts)
    told = phrase_counts(pairs, ("0/3",))
    scan = pairs.read("0/3")
    expected = torch.zeros(1, 3, 3)
    for place, (slot, label) in enumerate(zip(scan.pairs.entity.tolist(), scan.labels.tolist())):
        if slot >= 0 and label != 255:
            assert scan.points[place, 0] > 0
            expected[0, pairs.text_table.phrases.index(scan.pairs.phrases[slot]), label] += 1
    assert torch.equal(told.counts, expected) and expected.sum() > 100
    assert torch.equal(told.rows, torch.eye(3, 8))


def test_scans_are_dealt_out_to_at_most_five_folds(tiny) -> None:
    pairs = PairedScans.open(tiny.artifacts)
    scans = pairs.splits["train"][:7]
    dealt = phrase_counts(pairs, scans).counts
    alone = [phrase_counts(pairs, (scan,)).counts[0] for scan in scans]
    assert len(phrase_counts(pairs, scans[:2]).counts) == 2
    assert torch.equal(dealt, torch.stack([alone[0] + alone[5], alone[1] + alone[6], *alone[2:5]]))


def test_labels_of_other_scans_are_never_looked_at(tiny, rewrite_tiny: Callable[..., None]) -> None:
    pairs = PairedScans.open(tiny.artifacts)
    split = pairs.labelled_split(LabelledSpec(), 20.0, 0)
    before = phrase_counts(pairs, split.labelled)

    def poisoned(scan: PairedScan) -> PairedScan:
        hidden = scan.scan_id in split.unlabelled
        return replace(scan, labels=2 - np.minimum(scan.labels, 2)) if hidden else scan

    rewrite_tiny(tiny, poisoned)
    assert torch.equal(before.counts, phrase_counts(PairedScans.open(tiny.artifacts), split.labelled).counts)


@pytest.mark.parametrize(
    ("class_names", "named"),
    [
        (("a-lamp", "the_ground", "wall"), [1, 2, 0]),  # "a wall" has all words of "wall"
        (("bare", "lamp", "tall-wall"), [-1, -1, 1]),  # "a wall" is not tall
        (("lamp", "a-lamp", "a"), [-1, 2, 1]),  # most words win
    ],
)
def test_phrase_that_holds_the_name_of_a_class_is_found(
    tiny, class_names: tuple[str, ...], named: list[int]
) -> None:
    pairs = PairedScans.open(tiny.artifacts)
    renamed = replace(pairs, header=replace(pairs.header, class_names=class_names))
    assert phrase_counts(renamed, ("0/3",)).named.tolist() == named
