"""The plain layout: every format of points and labels, cameras that differ, poses, and broken files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import laspy
import numpy as np
import pytest
from plyfile import PlyData, PlyElement

from lass3d_core.datasets import Dataset, open_dataset, submission_of
from lass3d_core.errors import DataError
from lass3d_core.labels import IGNORE
from lass3d_core.manifest.classes import ClassesSpec
from lass3d_core.manifest.schema import DatasetSpec, SplitSpec
from tests.lass3d_core.datasets.plain_files import (
    BACK,
    FRONT,
    GROUND,
    THING,
    cloud,
    write_calibration,
    write_plain,
)

CLASSES = ClassesSpec(ids={"ground": (GROUND,), "thing": (THING, 4)}, ignore=(0,))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_plain(tmp_path, ("a", "b"))
    return tmp_path


def opened(root: Path, **keys: Any) -> Dataset:
    spec = DatasetSpec("plain", root, SplitSpec(("a",), ("b",)), classes=CLASSES)
    return open_dataset(replace(spec, **keys))


def test_a_scan_has_points_intensity_train_ids_and_a_view_of_each_camera(root: Path) -> None:
    scan, (values, raw) = opened(root).read_scan("a/000001"), cloud(1)
    np.testing.assert_array_equal(scan.points, values[:, :3])
    np.testing.assert_array_equal(scan.features, values[:, 3:])
    assert scan.labels is not None and np.array_equal(scan.labels, np.where(raw == GROUND, 0, 1))
    assert [view.image_id for view in scan.views] == ["a/000001/back", "a/000001/front"]
    assert scan.views[1].camera.size_hw == (48, 64)
    np.testing.assert_array_equal(scan.views[1].camera.cam_from_points, FRONT["cam_from_lidar"])


def _bin(path: Path, values: np.ndarray, raw: np.ndarray) -> None:
    values.astype("<f4").tofile(path.with_suffix(".bin"))


def _ply(path: Path, values: np.ndarray, raw: np.ndarray) -> None:
    rows = np.empty(
        len(values), [*((name, "<f4") for name in ("x", "y", "z", "intensity")), ("label", "<f4")]
    )
    for place, name in enumerate(("x", "y", "z", "intensity")):
        rows[name] = values[:, place]
    rows["label"] = raw
    PlyData([PlyElement.describe(rows, "vertex")]).write(path.with_suffix(".ply"))


def _pcd(path: Path, values: np.ndarray, raw: np.ndarray) -> None:
    rows = "\n".join(" ".join(map(repr, map(float, row))) + f" {label}" for row, label in zip(values, raw))
    head = f"FIELDS x y z intensity label\nSIZE 4 4 4 4 4\nTYPE F F F F U\nPOINTS {len(values)}\nDATA ascii\n"
    path.with_suffix(".pcd").write_text(head + rows + "\n")


def _las(path: Path, values: np.ndarray, raw: np.ndarray) -> None:
    header = laspy.LasHeader(point_format=3)
    header.scales = np.full(3, 1e-6)
    las = laspy.LasData(header)
    las.x, las.y, las.z = values[:, :3].T.astype(np.float64)
    las.intensity = np.round(values[:, 3] * 1000).astype(np.uint16)
    las.classification = raw.astype(np.uint8)
    las.write(path.with_suffix(".las"))


@pytest.mark.parametrize("write", [_bin, _ply, _pcd, _las])
def test_every_format_gives_the_same_points_and_labels(
    root: Path, write: Callable[[Path, np.ndarray, np.ndarray], None]
) -> None:
    wanted = opened(root).read_scan("a/000000")
    for frame, seed in (("000000", 0), ("000001", 1)):
        write(root / "a/points" / frame, *cloud(seed))
        (root / "a/points" / f"{frame}.npy").unlink()
    if write is not _bin:  # the other formats hold the labels themselves
        shutil.rmtree(root / "a/labels")
    columns = ("x", "y", "z", "intensity") if write is _bin else ()
    scale = 1000.0 if write is _las else 1.0
    scan = opened(root, columns=columns, intensity_scale=scale).read_scan("a/000000")
    np.testing.assert_allclose(scan.points, wanted.points, atol=1e-5)
    np.testing.assert_allclose(scan.features, wanted.features, atol=1e-3)
    assert scan.labels is not None and np.array_equal(scan.labels, wanted.labels)


def test_a_label_file_holds_the_class_in_its_lower_16_bits(root: Path) -> None:
    _, raw = cloud(0)
    (root / "a/labels/000000.npy").unlink()
    (raw.astype(np.uint32) | 12 << 16).astype("<u4").tofile(root / "a/labels/000000.label")
    labels = opened(root).read_scan("a/000000").labels
    assert labels is not None and np.array_equal(labels, np.where(raw == GROUND, 0, 1))


def test_a_scan_without_a_label_file_has_no_labels(root: Path) -> None:
    (root / "a/labels/000000.npy").unlink()
    dataset = opened(root)
    assert dataset.read_scan("a/000000").labels is None and dataset.read_scan("a/000001").labels is not None


def test_unknown_ids_are_ignored_if_the_manifest_says_so(root: Path) -> None:
    _, raw = cloud(0)
    raw[:3], raw[3] = 99, -1
    np.save(root / "a/labels/000000.npy", raw)
    with pytest.raises(DataError, match=r"unknown class ids 99 \(3 points\), -1 \(1 point\); map them"):
        opened(root).read_scan("a/000000")
    labels = opened(root, classes=replace(CLASSES, unknown="ignore")).read_scan("a/000000").labels
    assert labels is not None and labels[:4].tolist() == [IGNORE] * 4 and IGNORE not in labels[4:]


def test_unit_and_origin_move_the_points_before_they_are_rounded_to_single_precision(root: Path) -> None:
    values, _ = cloud(0)
    origin = np.array([500_000_123.0, 5_400_000_456.0, 90_000.0])
    moved = np.concatenate([values[:, :3].astype(np.float64) * 1000 + origin, values[:, 3:]], axis=1)
    np.save(root / "a/points/000000.npy", moved)
    scan = opened(root, unit_m=0.001, origin=tuple(origin)).read_scan("a/000000")
    np.testing.assert_allclose(scan.points, values[:, :3], atol=1e-4)


def test_colours_are_the_features_where_there_is_no_intensity(root: Path) -> None:
    shutil.rmtree(root / "a/labels")
    values, raw = cloud(0)
    names = ("x", "y", "z", "Red", "Green", "Blue", "label")
    rows = np.zeros(len(values), [(name, "u1" if name[0].isupper() else "<f4") for name in names])
    for place, name in enumerate("xyz"):
        rows[name] = values[:, place]
    rows["label"], rows["Red"], rows["Blue"] = raw, 255, 51
    for frame in ("000000", "000001"):
        (root / "a/points" / f"{frame}.npy").unlink()
        PlyData([PlyElement.describe(rows, "vertex")]).write(root / "a/points" / f"{frame}.ply")
    dataset = opened(root)
    assert dataset.feature_names == ("red", "green", "blue")
    np.testing.assert_allclose(dataset.read_scan("a/000000").features[0], [1, 0, 0.2], atol=1e-6)


def test_a_cloud_of_coordinates_alone_has_no_features(root: Path) -> None:
    for frame in ("000000", "000001"):
        np.save(root / "a/points" / f"{frame}.npy", cloud(0)[0][:, :3])
    dataset = opened(root)
    assert dataset.feature_names == () and dataset.read_scan("a/000000").features.shape == (400, 0)


def test_cameras_may_differ_from_sequence_to_sequence(root: Path) -> None:
    shutil.rmtree(root / "b/images/back")
    write_calibration(root / "b", {"front": FRONT})
    dataset = opened(root)
    assert len(dataset.views("a/000000")) == 2 and len(dataset.views("b/000000")) == 1


def test_the_manifest_may_choose_cameras_or_none(root: Path) -> None:
    assert [view.image_id for view in opened(root, views=("front",)).views("a/000000")] == ["a/000000/front"]
    (root / "a/calibration.json").unlink()
    assert opened(root, views=()).read_scan("a/000000").views == ()
    assert [one.image_id for one in opened(root).images("a/000000")] == ["a/000000/back", "a/000000/front"]


def test_a_scan_without_an_image_of_a_camera_has_the_other_views(root: Path) -> None:
    (root / "a/images/front/000000.png").unlink()
    dataset = opened(root)
    assert [one.image_id for one in dataset.images("a/000000")] == ["a/000000/back"]
    assert len(dataset.views("a/000001")) == 2


def test_an_image_is_that_of_the_nearest_time(tmp_path: Path) -> None:
    write_plain(tmp_path, ("a", "b"), ("1533151603547590", "1533151603647590"))
    for camera, suffix in (("front", ".png"), ("back", ".jpg")):
        for name in ("1533151603547590", "1533151603647590"):
            path = tmp_path / "a/images" / camera / f"{name}{suffix}"
            path.rename(path.with_name(f"{int(name) + 20_000}{suffix}"))
    ids = [one.image_id for one in opened(tmp_path).images("a/1533151603547590")]
    assert ids == ["a/1533151603567590/back", "a/1533151603567590/front"]
    assert opened(tmp_path, max_time_gap_s=0.01).images("a/1533151603547590") == ()


def test_line_n_of_poses_is_the_pose_of_the_nth_scan(root: Path) -> None:
    (root / "a/poses.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n1 0 0 2 0 1 0 0 0 0 1 0\n")
    (views,) = opened(root).views_before("a/000001", 3)
    here, earlier = opened(root).views("a/000001")[1].camera, views[1].camera
    np.testing.assert_allclose(
        earlier.cam_from_points - here.cam_from_points, [[0] * 4, [0] * 4, [0, 0, 0, 2], [0] * 4]
    )
    (root / "a/poses.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n")
    with pytest.raises(DataError, match=r"poses\.txt has 1 poses for 2 scans"):
        opened(root).views_before("a/000001", 3)


def test_predictions_are_the_first_raw_id_of_each_class(root: Path) -> None:
    submission = submission_of(DatasetSpec("plain", root, SplitSpec(("a",), ("b",)), classes=CLASSES))
    assert str(submission.file("val", "b/000001")) == "b/000001.label"
    content = submission.encode(np.uint8([0, 1]))
    assert np.frombuffer(content, "<u4").tolist() == [GROUND, THING]
    assert submission.decode(content, "x").tolist() == [0, 1] and submission.absent == "dropped"


def test_own_classes_in_another_layout_are_exported_in_the_plain_form() -> None:
    spec = DatasetSpec("semantickitti", Path(), SplitSpec(("00",), ("08",)), classes=CLASSES)
    assert submission_of(spec).label_space.names == ("ground", "thing")


def _rewrite(path: str, content: bytes) -> Callable[[Path], None]:
    return lambda root: (root / path).write_bytes(content) and None


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "labels of another length": (
        lambda root: np.save(root / "a/labels/000000.npy", np.full(399, GROUND)),
        r"000000\.npy has labels of shape \(399,\), its scan 400 points",
    ),
    "labels with fractions": (
        lambda root: np.save(root / "a/labels/000000.npy", np.full(400, 1.5)),
        r"the label 1\.5 is not a whole number",
    ),
    "labels of texts": (
        lambda root: np.save(root / "a/labels/000000.npy", np.full(400, "car")),
        r"the labels are <U3; whole numbers are needed",
    ),
    "a cut label file": (_rewrite("a/labels/000000.npy", b"\x93NUMPY\x01"), r"is no whole \.npy file"),
    "labels twice": (_rewrite("a/labels/000000.label", b""), "are files of one frame; delete one"),
    "points twice": (_rewrite("a/points/000000.bin", b"0"), "are files of one frame; delete one"),
    "no points": (lambda root: shutil.rmtree(root / "a/points"), r"a/points holds no \.bin, \.npy"),
    "no calibration": (
        lambda root: (root / "a/calibration.json").unlink(),
        r"calibration\.json does not exist",
    ),
    "calibration is no JSON": (
        _rewrite("a/calibration.json", b"{"),
        r"calibration\.json, line 1: no JSON here",
    ),
    "a camera less": (
        lambda root: write_calibration(root / "a", {"front": FRONT, "bakc": BACK}),
        r"no camera 'back' \(it has front, bakc\); add it.*did you mean 'bakc'\?",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_clear_line(root: Path, case: str) -> None:
    damage, pattern = BROKEN[case]
    damage(root)
    with pytest.raises(DataError, match=pattern) as caught:
        dataset = opened(root)
        dataset.scan_ids("train")
        dataset.read_scan("a/000000")
    assert "\n" not in str(caught.value) and str(root) in str(caught.value)


def test_a_wrong_label_column_is_refused_with_those_that_are_there(root: Path) -> None:
    shutil.rmtree(root / "a/labels")
    with pytest.raises(DataError, match=r"no column 'klass' \(it has intensity\)"):
        opened(root, label_column="klass").read_scan("a/000000")


def test_the_plain_layout_asks_for_classes() -> None:
    with pytest.raises(ValueError, match="the reader plain has no official classes"):
        DatasetSpec("plain", Path(), SplitSpec(("a",), ("b",)))


@pytest.mark.parametrize(
    "keys",
    [{"columns": ("x", "y", "z")}, {"unit_m": 0.001}, {"origin": (1.0, 2.0, 3.0)}, {"intensity_scale": 2.0}],
)
def test_keys_of_own_files_are_refused_where_the_layout_fixes_them(keys: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is not for the reader nuscenes"):
        DatasetSpec("nuscenes", Path(), SplitSpec(("a",), ("b",)), **keys)
