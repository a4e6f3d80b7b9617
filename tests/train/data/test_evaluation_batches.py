from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lass3d_core import nets
from lass3d_core.labels import IGNORE
from lass3d_core.nets.segmenter import Segmenter, make_classifier
from lass3d_core.nets.superpoint_segmenter import SuperpointSegmenter
from lass3d_core.nets.superpoints import SuperpointConfig
from lass3d_core.records import NONE, PairedScan
from train.config import DataConfig
from train.data.evaluation_batches import EvaluationBatch, evaluation_batches, grouped_by_size
from train.data.evaluation_scans import EvaluationScans
from train.data.paired_scans import PairedScans
from train.evaluate import LogitSample, confusions, of_points, predict, voxel_logits
from train.presets.demo import demo

CPU = torch.device("cpu")
CONFIG = DataConfig(voxel_m=0.3)
TINY = replace(demo("tiny", "supervised", 20.0, 0).net, stem=4, encoder=(6, 6, 6), decoder=(6, 6, 6))


@pytest.fixture
def scans(tiny) -> EvaluationScans:
    pairs = PairedScans.open(tiny.artifacts)
    return EvaluationScans(pairs, pairs.splits["train"], CONFIG, TINY.levels)


def batches_of(scans: EvaluationScans, most: int, workers: int = 0) -> list[EvaluationBatch]:
    return list(evaluation_batches(scans, CPU, workers, most))


def test_scans_come_in_order_in_batches_of_so_many_points(scans: EvaluationScans) -> None:
    """Each has 300 points; a scan of more than the limit comes alone."""
    for most, sizes in ((299, [1] * 10), (300, [1] * 10), (900, [3, 3, 3, 1]), (10**6, [10])):
        for workers in (0, 2):
            found = batches_of(scans, most, workers)
            assert [len(batch.scan_ids) for batch in found] == sizes
            assert [one for batch in found for one in batch.scan_ids] == list(scans.scan_ids)


def test_a_batch_for_a_gpu_leaves_the_maps_to_it(scans: EvaluationScans) -> None:
    (whole,), (bare,) = batches_of(scans, 10**6), batches_of(replace(scans, for_gpu=True), 10**6)
    assert bare.pyramid.submanifold == () and bare.pyramid.levels == TINY.levels
    built = bare.pyramid.to(CPU)
    assert [one.counts for one in built.submanifold] == [one.counts for one in whole.pyramid.submanifold]


def test_a_batch_has_every_point_and_voxel_of_its_scans(scans: EvaluationScans) -> None:
    (batch,) = batches_of(scans, 10**6)
    alone = [scans[number] for number in range(len(scans))]
    assert torch.equal(batch.features, torch.cat([one.features for one in alone]))
    assert (batch.labels == np.concatenate([one.labels for one in alone])).all()
    first = 0
    for number, (part, one) in enumerate(zip(batch.scans, alone, strict=True)):
        assert part.scan_id == one.scan_id and (part.labels == one.labels).all()
        assert torch.equal(part.inverse - first, one.inverse)
        rows = batch.pyramid.coords[0][first : first + len(one.features)]
        assert torch.equal(rows[:, 1:], one.pyramid.coords[0][:, 1:]) and (rows[:, 0] == number).all()
        first += len(one.features)


@pytest.mark.parametrize("kind", ["voxel", "range", "superpoints"])
def test_a_point_is_predicted_in_a_batch_as_alone(scans: EvaluationScans, kind: str) -> None:
    torch.manual_seed(0)
    channels = scans.pairs.in_channels
    backbone = nets.make_backbone(replace(TINY, view="range" if kind == "range" else "voxel"), channels)
    network = (
        SuperpointSegmenter(backbone, 3, SuperpointConfig())
        if kind == "superpoints"
        else Segmenter(backbone, torch.nn.Identity(), make_classifier(6, 3))
    ).eval()
    (batch,) = batches_of(scans, 10**6)
    together = voxel_logits(network, batch, CPU)
    alone = [voxel_logits(network, scans[number], CPU) for number in range(len(scans))]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-5)
    expected = np.concatenate([predict(network, scans[number], CPU) for number in range(len(scans))])
    # Rounding may turn a tie; no such tie here.
    assert (of_points(together, batch) == expected).all()


def test_confusion_and_the_drawn_points_do_not_depend_on_the_batches(scans: EvaluationScans) -> None:
    torch.manual_seed(0)
    backbone = nets.make_backbone(TINY, scans.pairs.in_channels)
    network = Segmenter(backbone, torch.nn.Identity(), make_classifier(6, 3))
    drawn = []
    for most in (1, 700, 10**6):
        sample = LogitSample(most=200, scans=len(scans))
        matrices = confusions(network, batches_of(scans, most), 3, CPU, sample)
        drawn.append((matrices.tolist(), np.concatenate(sample.labels).tolist(), torch.cat(sample.logits)))
    for matrices, labels, logits in drawn[1:]:
        assert (matrices, labels) == drawn[0][:2]
        torch.testing.assert_close(logits, drawn[0][2], rtol=1e-5, atol=1e-5)


def test_a_scan_without_labels_counts_nothing(tiny, rewrite_tiny) -> None:
    rewrite_tiny(tiny, lambda scan: replace(scan, labels=None) if scan.scan_id == "0/1" else scan)
    pairs = PairedScans.open(tiny.artifacts)
    (batch,) = batches_of(EvaluationScans(pairs, ("0/0", "0/1"), CONFIG, 2), 10**6)
    labels = [part.labels for part in batch.scans]
    assert (labels[1] == IGNORE).all() and not (labels[0] == IGNORE).all()


def test_only_points_of_scans_with_images_are_in_camera(tiny, rewrite_tiny) -> None:
    def bare(scan: PairedScan) -> PairedScan:
        """Of a camera that is missing in one scan."""
        if scan.scan_id != "0/1":
            return scan
        without = replace(scan.pairs, image=np.full_like(scan.pairs.image, NONE))
        return replace(scan, pairs=without)

    rewrite_tiny(tiny, bare)
    pairs = PairedScans.open(tiny.artifacts)
    ids = ("0/0", "0/1", "0/2")
    (batch,) = batches_of(EvaluationScans(pairs, ids, CONFIG, 2), 10**6)
    assert batch.in_camera.tolist() == [x for one in ids for x in (pairs.read(one).pairs.image[:, 0] >= 0)]
    assert not batch.in_camera[300:600].any() and batch.in_camera[:300].any() and batch.in_camera[600:].any()


@given(st.lists(st.integers(0, 50)), st.integers(1, 60))
def test_groups_are_neighbours_within_the_limit_and_no_two_would_fit_together(
    sizes: list[int], most: int
) -> None:
    groups = grouped_by_size(sizes, most)
    assert [number for group in groups for number in group] == list(range(len(sizes)))
    totals = [sum(sizes[number] for number in group) for group in groups]
    assert all(total <= most or len(group) == 1 for total, group in zip(totals, groups))
    assert all(total + sizes[group.start] > most for total, group in zip(totals, groups[1:]))
