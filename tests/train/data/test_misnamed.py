from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lass3d_core.manifest.schema import LabelledSpec
from train.data.misnamed import StressConfig, misnamed
from train.data.paired_scans import PairedScans
from train.data.phrase_counts import phrase_counts

VOCABULARY = tuple(f"word {number}" for number in range(1000))


def test_a_share_of_the_phrases_is_exchanged_and_always_in_the_same_way(tiny) -> None:
    scan = PairedScans.open(tiny.artifacts).read("0/3")
    known = replace(scan.pairs, phrases=tuple(f"phrase {number}" for number in range(500)))
    wrong = misnamed(replace(scan, pairs=known), 0.3, VOCABULARY, 0).pairs
    exchanged = sum(a != b for a, b in zip(known.phrases, wrong.phrases))
    assert 100 < exchanged < 200
    assert np.array_equal(wrong.entity, known.entity)
    assert wrong == misnamed(replace(scan, pairs=known), 0.3, VOCABULARY, 0).pairs
    assert wrong != misnamed(replace(scan, pairs=known), 0.3, VOCABULARY, 1).pairs


def test_nothing_is_exchanged_without_a_share(tiny) -> None:
    scan = PairedScans.open(tiny.artifacts).read("0/3")
    assert misnamed(scan, 0.0, VOCABULARY, 0) is scan


def test_labelled_scans_can_be_left_right() -> None:
    assert StressConfig(0.5).of_labelled() == 0.5
    assert StressConfig(0.5, "unlabelled").of_labelled() == 0


def test_what_labelled_scans_say_changes_with_their_phrases(tiny) -> None:
    pairs = PairedScans.open(tiny.artifacts)
    split = pairs.labelled_split(LabelledSpec(), 20.0, 0)
    right = phrase_counts(pairs, split.labelled).counts
    wrong = phrase_counts(pairs, split.labelled, 1.0, 3).counts
    assert right.sum() == wrong.sum()
    assert not np.array_equal(right, wrong)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"misnamed must lie in \[0, 1\]"):
        StressConfig(share)
