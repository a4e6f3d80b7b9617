from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lass3d_core.errors import CorruptArtifact, MissingArtifact
from lass3d_core.sparse.maps import KernelPyramid
from train.config import DataConfig
from train.data.evaluation_batches import evaluation_batches
from train.data.evaluation_scans import EvaluationScans, in_camera
from train.data.paired_scans import PairedScans
from train.evaluate import Metrics, both_figures, confusions, figures_of, metrics_table, predict

CPU = torch.device("cpu")
CONFIG = DataConfig(voxel_m=0.5)


class ByHeight(nn.Module):
    """Says ground below 0.25 m, wall below 2.5 m, lamp above: a rule on the voxel's mean height."""

    def forward(self, features: Tensor, pyramid: KernelPyramid) -> Tensor:
        classes = torch.bucketize(features[:, 2].contiguous(), torch.tensor([0.25, 2.5]))
        return nn.functional.one_hot(classes, 3).float()


def by_hand(points: np.ndarray) -> list[int]:
    """ByHeight, point by point."""
    cell = [tuple(np.floor(point.astype(np.float64) / 0.5).astype(int)) for point in points]
    heights: dict[tuple[int, ...], list[float]] = {}
    for place, point in zip(cell, points):
        heights.setdefault(place, []).append(float(point[2]))
    mean = {place: sum(of) / len(of) for place, of in heights.items()}
    return [0 if mean[place] <= 0.25 else 1 if mean[place] <= 2.5 else 2 for place in cell]


def test_the_confusion_is_that_of_a_loop_over_all_points(tiny) -> None:
    pairs = PairedScans.open(tiny.artifacts)
    ids = pairs.splits["train"][:3]
    expected = np.zeros((2, 3, 3), int)
    for scan in map(pairs.read, ids):
        for label, prediction, image in zip(scan.labels, by_hand(scan.points), scan.pairs.image[:, 0]):
            if label != 255:
                expected[0, label, prediction] += 1
                expected[1, label, prediction] += image >= 0
    found = confusions(ByHeight(), evaluation_batches(EvaluationScans(pairs, ids, CONFIG, 2), CPU, 0), 3, CPU)
    assert found.tolist() == expected.tolist()
    assert found[0].sum() == 3 * 295 > found[1].sum() > 0


@pytest.mark.parametrize(
    ("image", "seen"),
    [
        ([[0], [-1], [1], [0]], [True, False, True, True]),
        ([[-1, -1], [0, 1], [1, -1], [-1, -1]], [False, True, True, False]),
        ([[], [], [], []], [False] * 4),
    ],
)
def test_a_point_is_in_camera_if_any_image_shows_it(make_tiny_scan, image: list, seen: list[bool]) -> None:
    scan = make_tiny_scan("0/0", 0)
    pairs = replace(
        scan.pairs, image=np.array(image, np.int16).reshape(4, -1), entity=scan.pairs.entity[:4],
        image_ids=("a", "b"),
    )  # fmt: skip
    first = {name: getattr(scan, name)[:4] for name in ("points", "features", "labels")}
    assert in_camera(replace(scan, pairs=pairs, **first)).tolist() == seen


def test_a_point_is_predicted_as_its_voxel_in_raw_order(tiny) -> None:
    pairs = PairedScans.open(tiny.artifacts)
    scan = pairs.read(pairs.splits["val"][0])
    whole = next(iter(EvaluationScans(pairs, [scan.scan_id], CONFIG, 2)[i] for i in range(1)))
    prediction = predict(ByHeight(), whole, CPU)
    assert prediction.dtype == np.uint8
    assert prediction.tolist() == by_hand(scan.points)


def metrics() -> Metrics:
    matrix = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    return Metrics(
        run_digest="d", split="val", class_names=("ground", "wall", "lamp"), scans=2, protocol="nested",
        ratio=20.0, seed=0, labelled_scans=2, training_scans=10, steps=12, **figures_of(matrix),
    )  # fmt: skip


def test_both_conventions_for_an_absent_class_stand_in_the_figures() -> None:
    """IoU: ground 6/9, wall 3/6, lamp absent."""
    assert metrics().iou == (pytest.approx(6 / 9), pytest.approx(3 / 6), None)
    assert metrics().miou_absent_dropped == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert metrics().miou_official == pytest.approx((6 / 9 + 3 / 6) / 3)
    assert metrics().accuracy == pytest.approx(9 / 12)


def test_metrics_read_back(tmp_path: Path) -> None:
    metrics().save(tmp_path / "metrics-val.json")
    assert Metrics.load(tmp_path / "metrics-val.json") == metrics()


def test_a_split_without_labelled_points_has_no_mean_but_reads_back(tmp_path: Path) -> None:
    empty = replace(metrics(), **figures_of(np.zeros((3, 3), int)))
    empty.save(tmp_path / "m.json")
    assert Metrics.load(tmp_path / "m.json").miou_absent_dropped is None


def test_the_protocol_stands_beside_the_figure() -> None:
    words = metrics_table(metrics())
    assert "2 of 10 training scans labelled (nested, 20 %, seed 0)" in words
    assert "point level, last checkpoint, no test-time augmentation" in words
    assert "58.3 %" in words


def test_the_official_mean_leads_whatever_the_rule() -> None:
    zero, dropped = "38.9 % (absent classes count 0", "58.3 % (absent classes dropped"
    assert f"mIoU {zero}: the official rule), {dropped})" in metrics_table(metrics())
    other = replace(metrics(), **figures_of(metrics().matrix, "dropped"))
    assert f"mIoU {dropped}: the official rule), {zero})" in metrics_table(other)


def test_the_table_has_the_true_and_the_predicted_points_of_a_class() -> None:
    head, ground, wall, lamp = (line.split() for line in metrics_table(metrics()).splitlines()[:4])
    assert head == ["class", "IoU", "%", "true", "predicted", "points"]
    assert ground == ["ground", "66.7", "8", "7"] and wall == ["wall", "50.0", "4", "5"]
    assert lamp == ["lamp", "-", "0", "0"]


@pytest.mark.parametrize(
    ("labelled", "scans", "said"),
    [
        (2, 2, "12 points of 2 scans, point level"),
        (2, None, "12 points of 2 scans, point level"),
        (4, 5, "12 points of 4 scans (4 of 5 scans of val have labels), point level"),
        (1, 2, "12 points of 1 scan (1 of 2 scans of val has labels), point level"),
        (1, 1, "12 points of 1 scan, point level"),
    ],
)
def test_the_table_says_of_how_many_scans_it_speaks(labelled: int, scans: int | None, said: str) -> None:
    assert said in metrics_table(replace(metrics(), scans=labelled, split_scans=scans))


def test_metrics_of_before_know_no_number_of_scans_and_no_camera_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "metrics-val.json"
    metrics().save(path)
    record = json.loads(path.read_text())
    del record["split_scans"], record["in_camera"]
    path.write_text(json.dumps(record))
    assert (Metrics.load(path).split_scans, Metrics.load(path).in_camera) == (None, None)


SEEN = np.array([[2, 2, 0], [0, 1, 0], [0, 0, 0]])


def with_camera(seen: np.ndarray, absent: str = "zero") -> Metrics:
    return replace(metrics(), **both_figures(np.stack([metrics().matrix, seen]), absent))


def test_the_figures_in_camera_are_those_of_the_points_in_camera(tmp_path: Path) -> None:
    """IoU there: ground 2/4, wall 1/3, lamp absent."""
    both = with_camera(SEEN)
    assert both.in_camera.iou == (pytest.approx(2 / 4), pytest.approx(1 / 3), None)
    assert both.in_camera.miou_absent_dropped == pytest.approx((2 / 4 + 1 / 3) / 2)
    assert both.in_camera.miou_official == pytest.approx((2 / 4 + 1 / 3) / 3)
    assert (both.in_camera.accuracy, both.in_camera.points) == (pytest.approx(3 / 5), 5)
    assert replace(both, in_camera=None) == metrics()
    both.save(tmp_path / "m.json")
    assert Metrics.load(tmp_path / "m.json") == both


def test_the_table_has_both_means_and_the_accuracy_in_camera_once_more() -> None:
    every, seen = (line for line in metrics_table(with_camera(SEEN)).splitlines() if "mIoU" in line)
    assert every == next(line for line in metrics_table(metrics()).splitlines() if "mIoU" in line)
    zero, dropped = "27.8 % (absent classes count 0", "41.7 % (absent classes dropped"
    means = f"mIoU {zero}: the official rule), {dropped}), accuracy 60.0 %"
    assert seen == f"in camera (41.7 % of the points): {means}"
    assert f"mIoU {dropped}: the official rule), {zero})" in metrics_table(with_camera(SEEN, "dropped"))


def test_without_images_and_with_images_of_every_point_the_table_has_one_line_of_means() -> None:
    nowhere, everywhere = with_camera(np.zeros((3, 3), int)), with_camera(metrics().matrix)
    assert nowhere.in_camera is None and everywhere.in_camera.accuracy == everywhere.accuracy
    assert metrics_table(nowhere) == metrics_table(everywhere) == metrics_table(metrics())


def test_missing_and_damaged_metrics_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifact, match="make eval"):
        Metrics.load(tmp_path / "m.json")
    (tmp_path / "m.json").write_text('{"split": "val"')
    with pytest.raises(CorruptArtifact, match=r"m\.json"):
        Metrics.load(tmp_path / "m.json")
