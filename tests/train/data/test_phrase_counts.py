"""In the tiny scans every point at x > 0 carries the phrase of its own class; the first five are ignored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from lass3d_core.manifest.schema import LabelledSpec
from lass3d_core.records import PairedScan, PointVotes
from train.data.paired_scans import PairedScans
from train.data.phrase_counts import phrase_counts, scenes_of
from train.methods.parts.label_prior import scene_votes


def test_counts_are_the_labelled_points_by_phrase_and_class(tiny) -> None:
    pairs = PairedScans.open(tiny.artifacts)
    told = phrase_counts(pairs, ("0/3",), {})
    scan = pairs.read("0/3")
    expected = torch.zeros(1, 3, 3)
    for place, (slot, label) in enumerate(zip(scan.pairs.entity.tolist(), scan.labels.tolist())):
        if slot >= 0 and label != 255:
            assert scan.points[place, 0] > 0
            expected[0, pairs.text_table.phrases.index(scan.pairs.phrases[slot]), label] += 1
    assert torch.equal(told.counts, expected) and expected.sum() > 100
    assert torch.equal(told.rows, torch.eye(3, 8))


def test_a_voted_point_is_divided_among_its_phrases(tiny, rewrite_tiny: Callable[..., None]) -> None:
    def voted(scan: PairedScan) -> PairedScan:
        entity, other = scan.pairs.entity, (scan.pairs.entity + 1) % 3
        phrase = np.stack([entity, np.where(entity < 0, -1, other)], axis=1).astype(np.int16)
        share = (phrase >= 0) * np.uint8([153, 51])
        named = (entity >= 0).astype(np.uint8)
        return replace(scan, pairs=replace(scan.pairs, votes=PointVotes(phrase, share, named, named)))

    before = phrase_counts(PairedScans.open(tiny.artifacts), ("0/3", "0/4"), {})
    rewrite_tiny(tiny, voted)
    pairs = PairedScans.open(tiny.artifacts)
    told = phrase_counts(pairs, ("0/3", "0/4"), {})
    row_of = {phrase: row for row, phrase in enumerate(pairs.text_table.phrases)}
    turned = torch.zeros_like(before.counts)
    for fold, scan_id in enumerate(("0/3", "0/4")):
        names = pairs.read(scan_id).pairs.phrases
        for slot, name in enumerate(names):
            turned[fold, row_of[names[(slot + 1) % 3]]] += before.counts[fold, row_of[name]]
    torch.testing.assert_close(told.counts, 0.6 * before.counts + 0.2 * turned)


def test_points_are_those_that_are_counted(tiny) -> None:
    told = phrase_counts(PairedScans.open(tiny.artifacts), ("0/3", "0/4"), {})
    fold, label, votes = told.points
    again = torch.zeros_like(told.counts)
    again.index_put_((fold, votes.strongest, label), torch.ones(len(label)), accumulate=True)
    assert torch.equal(again, told.counts)


def test_scans_are_dealt_out_to_at_most_five_folds(tiny) -> None:
    pairs = PairedScans.open(tiny.artifacts)
    scans = pairs.splits["train"][:7]
    dealt = phrase_counts(pairs, scans, {}).counts
    alone = [phrase_counts(pairs, (scan,), {}).counts[0] for scan in scans]
    assert len(phrase_counts(pairs, scans[:2], {}).counts) == 2
    assert torch.equal(dealt, torch.stack([alone[0] + alone[5], alone[1] + alone[6], *alone[2:5]]))


def test_labels_of_other_scans_are_never_looked_at(tiny, rewrite_tiny: Callable[..., None]) -> None:
    pairs = PairedScans.open(tiny.artifacts)
    split = pairs.labelled_split(LabelledSpec(), 20.0, 0)
    before = phrase_counts(pairs, split.labelled, {})

    def poisoned(scan: PairedScan) -> PairedScan:
        hidden = scan.scan_id in split.unlabelled
        return replace(scan, labels=2 - np.minimum(scan.labels, 2)) if hidden else scan

    rewrite_tiny(tiny, poisoned)
    assert torch.equal(
        before.counts, phrase_counts(PairedScans.open(tiny.artifacts), split.labelled, {}).counts
    )


@pytest.mark.parametrize(
    ("labelled", "scenes"),
    [
        (("0/3", "0/4"), [["0/3"], ["0/4"]]),  # one sequence: every scan
        (("0/3", "1/0", "0/4"), [["0/3", "0/4"], ["1/0"]]),
        (("b/1", "a/2", "a/1"), [["b/1"], ["a/2", "a/1"]]),  # in the order of the first scan of each
        (("day/0/3", "day/1/0", "day/0/4"), [["day/0/3", "day/0/4"], ["day/1/0"]]),
        (("scene0", "scene1"), [["scene0"], ["scene1"]]),  # ids without a sequence
        (("0/3",), [["0/3"]]),
        ((), []),
    ],
)
def test_a_scene_is_a_sequence_or_a_scan_if_there_is_one_sequence(
    labelled: tuple[str, ...], scenes: list[list[str]]
) -> None:
    assert scenes_of(labelled) == scenes


def test_every_scene_has_a_vote_of_its_own(tiny) -> None:
    """Scans of one sequence are scenes; folds hold the sum of the votes of theirs."""
    pairs = PairedScans.open(tiny.artifacts)
    scans = pairs.splits["train"][:7]
    told = phrase_counts(pairs, scans, {})
    votes = [scene_votes(phrase_counts(pairs, (scan,), {}).counts[0]) for scan in scans]
    expected = torch.stack([votes[0] + votes[5], votes[1] + votes[6], *votes[2:5]])
    torch.testing.assert_close(told.scenes, expected)


def test_scans_of_a_sequence_are_one_scene_in_one_fold(tiny) -> None:
    """Its votes are those of its scans together: a second scan of a street adds points and no vote."""
    pairs = PairedScans.open(tiny.artifacts)
    together = phrase_counts(pairs, ("0/3", "1/0", "0/4", "1/1"), {})
    sequences = [phrase_counts(pairs, scans, {}).counts for scans in (("0/3", "0/4"), ("1/0", "1/1"))]
    expected = torch.stack([one.sum(dim=0) for one in sequences])
    assert torch.equal(together.counts, expected)
    torch.testing.assert_close(together.scenes, torch.stack([scene_votes(one) for one in expected]))
    folds = together.points.fold.bincount().tolist()
    assert folds == expected.sum(dim=(1, 2)).int().tolist(), "every point is in the fold of its scene"


@pytest.mark.parametrize(
    ("class_names", "synonyms", "means"),
    [
        # In the tiny data the phrases are "the ground", "a wall" and "a lamp".
        (("a-lamp", "the_ground", "wall"), {}, [{1}, {2}, {0}]),
        (("bare", "lamp", "tall-wall"), {}, [set(), set(), {1}]),  # "a wall" is not tall
        (("bare", "partition", "terrain"), {}, [set(), set(), set()]),
        (("bare", "partition", "terrain"), {"partition": ["wall", "lamp"]}, [set(), {1}, {1}]),
        (("bare", "pole", "trunk"), {"pole": ["wall"], "trunk": ["wall"]}, [set(), {1, 2}, {1}]),  # several
        (("floor", "manmade", "pole"), {}, [{0}, {1}, {2}]),  # built-in synonyms
    ],
)
def test_the_words_of_a_phrase_name_classes_by_name_and_synonym(
    tiny, class_names: tuple[str, ...], synonyms: dict[str, list[str]], means: list[set[int]]
) -> None:
    pairs = PairedScans.open(tiny.artifacts)
    renamed = replace(pairs, header=replace(pairs.header, class_names=class_names))
    told = phrase_counts(renamed, ("0/3",), synonyms).means
    assert [set(row.nonzero().flatten().tolist()) for row in told] == means
