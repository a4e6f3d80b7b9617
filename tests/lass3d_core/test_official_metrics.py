"""Our figures equal those of the official evaluators, read from the same files on disk.

Each twin below is written after the published code of its benchmark, with the class tables typed in anew:
semantic-kitti-api's evaluate_semantics.py and auxiliary/np_ioueval.py, ScanNet's evaluate_semantic_label.py
(BenchmarkScripts/3d_evaluation), nuscenes-devkit's evaluate.py and utils.py (eval/lidarseg).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from lass3d_core.datasets import submission_of
from lass3d_core.labels import IGNORE
from lass3d_core.paper.metrics import accuracy, confusion_matrix, iou, mean_iou
from tests.benchmark_files import READERS, raw_ids_of, scan_ids_of, spec_of, write_benchmark, write_truth
from train.__main__ import main
from train.evaluate import Metrics

Twin = Callable[[Path, Path, Sequence[str]], tuple[float, list[float]]]
"""(data set, folder of predictions, scan ids of val) -> mean IoU, IoU per class."""

KITTI_LEARNING_MAP = {
    0: 0, 1: 0, 10: 1, 11: 2, 13: 5, 15: 3, 16: 5, 18: 4, 20: 5, 30: 6, 31: 7, 32: 8, 40: 9, 44: 10, 48: 11,
    49: 12, 50: 13, 51: 14, 52: 0, 60: 9, 70: 15, 71: 16, 72: 17, 80: 18, 81: 19, 99: 0, 252: 1, 253: 7,
    254: 6, 255: 8, 256: 5, 257: 5, 258: 4, 259: 5,
}  # fmt: skip
"""learning_map of semantic-kitti.yaml; 0 is ignored."""

SCANNET_VALID = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39)

NUSCENES_COARSE = (
    0, 0, 7, 7, 7, 0, 7, 0, 0, 1, 0, 0, 8, 0, 2, 3, 3, 4, 5, 0, 0, 6, 9, 10, 11, 12, 13, 14, 15, 0, 16, 0,
)  # fmt: skip
"""Index of category.json -> that of the lidarseg challenge; 0 is ignored."""


def semantic_kitti(data: Path, results: Path, scan_ids: Sequence[str]) -> tuple[float, list[float]]:
    """Predictions in the rows; the column of the ignored truth is emptied; 1e-15 is added to each union."""
    lut = np.zeros(max(KITTI_LEARNING_MAP) + 100, np.int32)
    lut[list(KITTI_LEARNING_MAP)] = list(KITTI_LEARNING_MAP.values())
    confusion = np.zeros((20, 20), np.int64)
    for sequence in sorted({scan_id.split("/")[0] for scan_id in scan_ids}):
        labels = sorted((data / "sequences" / sequence / "labels").glob("*.label"))
        predicted = sorted((results / "sequences" / sequence / "predictions").glob("*.label"))
        assert len(labels) == len(predicted)
        for label, prediction in zip(labels, predicted):
            y = lut[np.fromfile(label, np.int32) & 0xFFFF]
            x = lut[np.fromfile(prediction, np.int32) & 0xFFFF]
            np.add.at(confusion, (x, y), 1)
    confusion[:, 0] = 0
    tp = np.diag(confusion)
    union = confusion.sum(axis=1) + confusion.sum(axis=0) - tp + 1e-15
    per_class = (tp / union)[1:]
    return float(per_class.mean()), per_class.tolist()


def scannet(data: Path, results: Path, scan_ids: Sequence[str]) -> tuple[float, list[float]]:
    """Vertex by vertex; truth outside the classes is skipped, a prediction outside them is unknown.

    The published script ends where an IoU is undefined; the mean is the one over the others.
    """
    confusion = np.zeros((41, 41), np.int64)
    for file in sorted(results.glob("*.txt")):
        truth = np.array((data / "gt" / file.name).read_text().splitlines(), np.int64)
        predicted = np.array(file.read_text().splitlines(), np.int64)
        assert truth.shape == predicted.shape
        for t, p in zip(truth.tolist(), predicted.tolist()):
            if t in SCANNET_VALID:
                confusion[t, p if p in SCANNET_VALID else 40] += 1
    ious = []
    for label in SCANNET_VALID:
        tp = int(confusion[label, label])
        fn = int(confusion[label].sum()) - tp
        fp = int(confusion[[other for other in SCANNET_VALID if other != label], label].sum())
        ious.append(tp / (tp + fp + fn) if tp + fp + fn else math.nan)
    defined = [value for value in ious if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan, ious


def nuscenes(data: Path, results: Path, scan_ids: Sequence[str]) -> tuple[float, list[float]]:
    """Row and column of the ignored class emptied; a union in single precision; nanmean over all 17."""
    confusion = np.zeros((17, 17), np.int64)
    for scan_id in scan_ids:
        name = f"{scan_id.rpartition('-')[2]}_lidarseg.bin"
        truth = np.array(NUSCENES_COARSE)[np.fromfile(data / "lidarseg" / "v1.0-trainval" / name, np.uint8)]
        predicted = np.fromfile(results / "lidarseg" / "val" / name, np.uint8)
        assert ((predicted > 0) & (predicted < 17)).all()
        one = np.bincount(17 * truth + predicted, minlength=17**2).reshape(17, 17)
        one[0, :] = one[:, 0] = 0
        confusion += one
    intersection = np.diagonal(confusion)
    union = confusion.sum(axis=1) + confusion.sum(axis=0) - intersection
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        per_class = intersection / union.astype(np.float32)
        return float(np.nanmean(per_class)), per_class[1:].tolist()


TWINS: dict[str, Twin] = {"semantickitti": semantic_kitti, "scannet": scannet, "nuscenes": nuscenes}


def random_scan(case: str, raw_ids: np.ndarray, train_ids: np.ndarray, rng: np.random.Generator):
    """Raw truth and predicted train ids (500,) of one scan. train_ids: those of raw_ids."""
    classes = np.arange(train_ids[train_ids != IGNORE].max() + 1)
    allowed = {
        "all classes": np.full(len(raw_ids), True),
        "one is only predicted": train_ids != 3,
        "some are neither true nor predicted": (train_ids % 3 == 0) | (train_ids == IGNORE),
        "every truth is ignored": train_ids == IGNORE,
        "one class alone": train_ids == 2,
    }[case]
    raw = rng.choice(raw_ids[allowed], 500)
    if case == "some are neither true nor predicted":
        classes = classes[classes % 3 == 0]
    right = np.take(train_ids, np.searchsorted(raw_ids, raw))
    predicted = np.where((rng.random(500) < 0.6) & (right != IGNORE), right, rng.choice(classes, 500))
    return raw, (right if case == "one class alone" else predicted).astype(np.uint8)


CASES = (
    "all classes",
    "one is only predicted",
    "some are neither true nor predicted",
    "every truth is ignored",
    "one class alone",
)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("reader", READERS)
def test_our_figures_are_those_of_the_official_evaluator(reader: str, case: str, tmp_path: Path) -> None:
    submission, scan_ids = submission_of(spec_of(reader)), scan_ids_of(reader)["val"]
    space = submission.label_space
    raw_ids = raw_ids_of(space.train_id_of_raw)
    rng = np.random.default_rng(CASES.index(case))
    matrix = np.zeros((len(space.names), len(space.names)), np.int64)
    for scan_id in scan_ids:
        raw, predicted = random_scan(case, raw_ids, space.train_ids(raw_ids, "the table"), rng)
        write_truth(tmp_path / "data", reader, scan_id, raw)
        path = tmp_path / "results" / submission.file("val", scan_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(submission.encode(predicted))
        matrix += confusion_matrix(space.train_ids(raw, "truth"), predicted, len(space.names))
    official, per_class = TWINS[reader](tmp_path / "data", tmp_path / "results", scan_ids)
    assert mean_iou(matrix, submission.absent) == pytest.approx(official, abs=1e-6, nan_ok=True)
    ours = np.nan_to_num(iou(matrix)) if submission.absent == "zero" else iou(matrix)
    np.testing.assert_allclose(ours, per_class, atol=1e-6)


@pytest.mark.parametrize("reader", READERS)
def test_the_figures_of_a_trained_run_are_the_official_ones_of_its_exported_files(
    reader: str, tmp_path: Path
) -> None:
    project = write_benchmark(tmp_path / "project", reader)
    assert main(project.training()) == 0
    assert main(project.arguments("export", "--split", "val")) == 0
    metrics = Metrics.load(project.run / "metrics-val.json")
    assert metrics.absent == project.submission.absent
    official, per_class = TWINS[reader](project.data, project.run / "export-val", scan_ids_of(reader)["val"])
    assert sum(share is not None and share > 0 for share in metrics.iou) >= 2
    assert metrics.miou_official == pytest.approx(official, abs=1e-6)
    for name, ours, theirs in zip(metrics.class_names, metrics.iou, per_class):
        if ours is not None:
            assert ours == pytest.approx(theirs, abs=1e-6), name


def test_the_accuracy_is_semantic_kittis() -> None:
    """getacc: hits over hits and false positives, without the column of the ignored truth."""
    rng = np.random.default_rng(0)
    matrix = rng.integers(0, 50, (19, 19))
    hits = np.trace(matrix)
    false_positives = matrix.sum() - hits
    assert accuracy(matrix) == pytest.approx(hits / (hits + false_positives + 1e-15))


def test_where_a_class_is_absent_the_benchmarks_disagree() -> None:
    """Two classes right, the third absent: SemanticKITTI says 2/3, the others 1."""
    matrix = np.diag([4, 2, 0])
    rules = {reader: submission_of(spec_of(reader)).absent for reader in READERS}
    found = {reader: mean_iou(matrix, absent) for reader, absent in rules.items()}
    assert found == {"semantickitti": pytest.approx(2 / 3), "scannet": 1, "nuscenes": 1}
