"""The nuScenes reader: the official tables, the motion between two sensors' times, and every broken file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation

from lass3d_core.datasets import Dataset, open_dataset, submission_of
from lass3d_core.datasets.nuscenes.reader import CAMERAS, LABEL_SPACE, NuScenesSubmission
from lass3d_core.datasets.nuscenes.records import records
from lass3d_core.datasets.nuscenes.tables import rotation_of_quaternion
from lass3d_core.errors import DataError, UnknownName
from lass3d_core.geometry.projection import invert_rigid, project, rigid
from lass3d_core.geometry.visible_pixels import Visibility, visible_pixels
from lass3d_core.labels import IGNORE
from lass3d_core.manifest.schema import DatasetSpec, SplitSpec
from lass3d_core.records import Scan
from tests.lass3d_core.datasets.nuscenes_files import (
    GENERAL_CLASSES,
    SIZE_HW,
    Pose,
    Rig,
    about_z,
    pose,
    some_labels,
    some_points,
    token_of,
    write_nuscenes,
)

CHALLENGE = {
    "barrier": ["movable_object.barrier"],
    "bicycle": ["vehicle.bicycle"],
    "bus": ["vehicle.bus.bendy", "vehicle.bus.rigid"],
    "car": ["vehicle.car"],
    "construction_vehicle": ["vehicle.construction"],
    "motorcycle": ["vehicle.motorcycle"],
    "pedestrian": [
        f"human.pedestrian.{kind}" for kind in ("adult", "child", "construction_worker", "police_officer")
    ],
    "traffic_cone": ["movable_object.trafficcone"],
    "trailer": ["vehicle.trailer"],
    "truck": ["vehicle.truck"],
    "driveable_surface": ["flat.driveable_surface"],
    "other_flat": ["flat.other"],
    "sidewalk": ["flat.sidewalk"],
    "terrain": ["flat.terrain"],
    "manmade": ["static.manmade"],
    "vegetation": ["static.vegetation"],
}
"""The table of the challenge's rules, in the order of its indices from 1; other general classes are 0."""


def lidar_token(scene: str, frame: int) -> str:
    return token_of(scene, frame, "LIDAR_TOP", True)


def scan_id_of(scene: str, frame: int) -> str:
    return f"{scene}/{frame:03d}-{lidar_token(scene, frame)}"


FIRST = scan_id_of("scene-0001", 0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two scenes of trainval, and one of test in tables of its own."""
    write_nuscenes(tmp_path, ("scene-0103", "scene-0001"))
    write_nuscenes(tmp_path, ("scene-0077",), version="v1.0-test", labelled=False)
    return tmp_path


def opened(
    root: Path,
    train: Sequence[str] = ("scene-0001",),
    val: Sequence[str] = ("scene-0103",),
    test: Sequence[str] = ("scene-0077",),
    views: Sequence[str] = (),
    version: str = "v1.0-trainval",
    scratch: Path | None = None,
) -> Dataset:
    splits = SplitSpec(tuple(train), tuple(val), tuple(test))
    spec = DatasetSpec("nuscenes", root, splits, tuple(views) or None, version=version)
    return open_dataset(spec, scratch)


def change(root: Path, table: str, edit: Callable[[list[dict[str, Any]]], object]) -> None:
    path = root / "v1.0-trainval" / f"{table}.json"
    rows = json.loads(path.read_text())
    edit(rows)
    path.write_text(json.dumps(rows))


def test_the_32_general_classes_are_the_16_of_the_challenge_or_ignored() -> None:
    assert LABEL_SPACE.names == tuple(CHALLENGE)
    expected = {name: i for i, names in enumerate(CHALLENGE.values()) for name in names}
    assert LABEL_SPACE.train_id_of_raw == {
        raw: expected.get(name, IGNORE) for raw, name in enumerate(GENERAL_CLASSES)
    }
    assert sum(train_id == IGNORE for train_id in LABEL_SPACE.train_id_of_raw.values()) == 12
    assert len(set(LABEL_SPACE.colours)) == 16 and LABEL_SPACE.colours[10] == (0, 207, 191)


def test_a_scan_has_points_intensity_train_ids_and_six_views_clockwise(root: Path) -> None:
    scan = opened(root).read_scan(scan_id_of("scene-0103", 1))
    points = some_points(1)
    np.testing.assert_array_equal(scan.points, points[:, :3])
    np.testing.assert_array_equal(scan.features, points[:, 3:4] / 255)
    assert scan.features.min() >= 0 and scan.features.max() <= 1
    np.testing.assert_array_equal(scan.labels, LABEL_SPACE.train_ids(some_labels(points), ""))
    assert [view.image_id for view in scan.views] == [f"{scan.scan_id}/{name}" for name in CAMERAS]
    assert {view.camera.size_hw for view in scan.views} == {SIZE_HW}
    ahead = [view.camera.cam_from_points[2, :2] for view in scan.views]
    turns = np.unwrap([np.arctan2(y, x) for x, y in ahead])
    assert (np.diff(turns) < 0).all()


def test_points_lie_where_the_official_chain_puts_them(root: Path) -> None:
    """The naive twin: LiDAR -> vehicle -> world -> vehicle -> camera -> pixel, each step from the tables."""
    tables = {
        name: json.loads((root / "v1.0-trainval" / f"{name}.json").read_text())
        for name in ("sensor", "calibrated_sensor", "ego_pose", "sample_data")
    }
    by_token = {name: {row["token"]: row for row in rows} for name, rows in tables.items()}
    dataset = opened(root)
    for scan_id in (FIRST, scan_id_of("scene-0103", 1)):
        scan = dataset.read_scan(scan_id)
        lidar = by_token["sample_data"][scan_id.split("-")[-1]]
        for view, name in zip(scan.views, CAMERAS):
            (camera,) = (
                row
                for row in tables["sample_data"]
                if row["sample_token"] == lidar["sample_token"]
                and row["is_key_frame"]
                and f"/{name}/" in row["filename"]
            )
            uv, depth = official_pixels(scan, lidar, camera, by_token)
            ours, our_depth = project(view.camera, scan.points)
            inside = (depth > 1) & (uv >= 0).all(axis=1) & (uv < SIZE_HW[::-1]).all(axis=1)
            assert inside.sum() > 50
            np.testing.assert_allclose(our_depth, depth, atol=1e-5)
            np.testing.assert_allclose(ours[inside], uv[inside], atol=1e-4)


def official_pixels(
    scan: Scan, lidar: dict[str, Any], camera: dict[str, Any], by_token: dict[str, dict[str, Any]]
) -> tuple[np.ndarray, np.ndarray]:
    def rotation(row: dict[str, Any]) -> np.ndarray:
        return Rotation.from_quat([*row["rotation"][1:], row["rotation"][0]]).as_matrix()

    points = scan.points.T.astype(np.float64)
    for row in (
        by_token["calibrated_sensor"][lidar["calibrated_sensor_token"]],
        by_token["ego_pose"][lidar["ego_pose_token"]],
    ):
        points = rotation(row) @ points + np.array(row["translation"])[:, None]
    mounted = by_token["calibrated_sensor"][camera["calibrated_sensor_token"]]
    for row in (by_token["ego_pose"][camera["ego_pose_token"]], mounted):
        points = rotation(row).T @ (points - np.array(row["translation"])[:, None])
    image = np.array(mounted["camera_intrinsic"]) @ points
    with np.errstate(divide="ignore"):
        return (image[:2] / image[2]).T, points[2]


def test_a_vehicle_that_drives_between_two_shots_moves_the_points(tmp_path: Path) -> None:
    """Worked by hand: the camera sits in the LiDAR and looks ahead half a metre of driving later."""
    rig = Rig(lidar=pose(), cameras={"CAM_FRONT": pose((0.5, -0.5, 0.5, -0.5))})
    rig.ego = lambda scene, frame, channel: pose(translation=(0.5 if channel == "CAM_FRONT" else 0, 0, 0))
    write_nuscenes(tmp_path, ("scene-0001", "scene-0103"), rig=rig)
    (view,) = opened(tmp_path, test=(), views=("CAM_FRONT",)).views(FIRST)
    uv, depth = project(view.camera, np.array([[10.5, 1, 2]], np.float32))
    np.testing.assert_allclose(depth, [10], atol=1e-6)
    np.testing.assert_allclose(uv, [[24 - 24 * 0.1, 15 - 24 * 0.2]], atol=1e-5)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_a_quaternion_begins_with_its_real_part(quaternion: list[float]) -> None:
    w, x, y, z = quaternion
    expected = Rotation.from_quat([x, y, z, w]).as_matrix()
    np.testing.assert_allclose(rotation_of_quaternion(np.array(quaternion)), expected, atol=1e-9)


def test_scans_are_the_key_frames_by_scene_and_time(root: Path) -> None:
    dataset = opened(root)
    assert dataset.scan_ids("train") == (FIRST, scan_id_of("scene-0001", 1))
    assert dataset.scan_ids("val") == (scan_id_of("scene-0103", 0), scan_id_of("scene-0103", 1))
    both = opened(root, train=("scene-0103", "scene-0001"), val=("scene-0077",), test=())
    assert both.scan_ids("train") == dataset.scan_ids("train") + dataset.scan_ids("val")
    with pytest.raises(UnknownName, match=r"no split 'dev' \(known: train, val, test\)"):
        dataset.scan_ids("dev")
    with pytest.raises(UnknownName, match="holds no scan 'scene-0001/009-x'"):
        dataset.read_scan("scene-0001/009-x")


def test_blocks_hold_no_scans_of_two_scenes(tmp_path: Path) -> None:
    write_nuscenes(tmp_path, ("scene-0001", "scene-0002", "scene-0103"), frames=3)
    blocks = opened(tmp_path, train=("scene-0001", "scene-0002"), test=()).blocks("train", 2)
    assert [block.name for block in blocks] == [
        "scene-0001-000", "scene-0001-001", "scene-0002-000", "scene-0002-001",
    ]  # fmt: skip
    assert [len(block.scan_ids) for block in blocks] == [2, 1, 2, 1]


def test_scenes_can_stand_in_a_list(root: Path, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("scene-0001\nscene-0103\n")
    dataset = opened(root, train=(str(tmp_path / "train.txt"),), val=("scene-0077",), test=())
    assert len(dataset.scan_ids("train")) == 4


def test_test_scenes_have_tables_of_their_own_and_no_labels(root: Path) -> None:
    dataset = opened(root)
    assert dataset.scan_ids("test") == (scan_id_of("scene-0077", 0), scan_id_of("scene-0077", 1))
    scan = dataset.read_scan(scan_id_of("scene-0077", 0))
    assert scan.labels is None and len(scan.points) == 400 and len(scan.views) == 6


def test_a_version_that_holds_all_splits_needs_no_other(tmp_path: Path) -> None:
    write_nuscenes(tmp_path, ("scene-0001", "scene-0103", "scene-0077"), version="v1.0-mini")
    dataset = opened(tmp_path, version="v1.0-mini")
    assert dataset.read_scan(dataset.scan_ids("test")[0]).labels is not None


def test_views_are_the_cameras_that_are_asked_for_in_that_order(root: Path) -> None:
    views = opened(root, views=("CAM_BACK", "CAM_FRONT")).views(FIRST)
    assert [view.image_id for view in views] == [f"{FIRST}/CAM_BACK", f"{FIRST}/CAM_FRONT"]
    everything = {view.image_id: view for view in opened(root).views(FIRST)}
    for view in views:
        assert view.image == everything[view.image_id].image
        np.testing.assert_array_equal(
            view.camera.cam_from_points, everything[view.image_id].camera.cam_from_points
        )


def test_input_files_are_exactly_what_is_read(root: Path) -> None:
    dataset = opened(root)
    tables = [
        f"v1.0-trainval/{name}.json"
        for name in ("sensor", "calibrated_sensor", "ego_pose", "scene", "sample", "sample_data", "lidarseg")
    ]
    token = lidar_token("scene-0001", 0)
    files = dataset.input_files(FIRST)
    assert [part.path.relative_to(root).as_posix() for part in files.points] == [
        "samples/LIDAR_TOP/scene-0001__LIDAR_TOP__0.pcd.bin",
        f"lidarseg/v1.0-trainval/{token}_lidarseg.bin",
        *tables,
    ]
    assert [part.path.parent.name for part in files.images] == list(CAMERAS)
    unlabelled = dataset.input_files(scan_id_of("scene-0077", 0)).points
    assert [part.path.parent.name for part in unlabelled] == ["LIDAR_TOP", *["v1.0-test"] * 6]


def test_views_need_no_points(root: Path) -> None:
    for file in (root / "samples/LIDAR_TOP").iterdir():
        file.write_bytes(b"")
    assert len(opened(root).views(FIRST)) == 6


# The index of the tables


def spoil(path: Path, keep_time: bool = True) -> None:
    """Make a table unreadable without changing its size."""
    status = path.stat()
    path.write_bytes(b"x" * status.st_size)
    if keep_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_tables_are_read_once_and_again_when_they_change(root: Path, tmp_path: Path) -> None:
    scratch, table = tmp_path / "scratch", root / "v1.0-trainval" / "ego_pose.json"
    before = opened(root, scratch=scratch).read_scan(FIRST)
    spoil(table)
    after = opened(root, scratch=scratch).read_scan(FIRST)
    assert after.scan_id == before.scan_id and len(after.views) == 6
    for old, new in zip(before.views, after.views):
        assert old.image == new.image and old.camera.size_hw == new.camera.size_hw
        np.testing.assert_array_equal(old.camera.cam_from_points, new.camera.cam_from_points)
        np.testing.assert_array_equal(old.camera.K, new.camera.K)
    with pytest.raises(DataError, match=r"ego_pose\.json is cut off or no list"):
        opened(root).read_scan(FIRST)
    spoil(table, keep_time=False)
    with pytest.raises(DataError, match=r"ego_pose\.json is cut off or no list"):
        opened(root, scratch=scratch).read_scan(FIRST)


def test_the_index_is_of_its_cameras(root: Path, tmp_path: Path) -> None:
    for views in (("CAM_BACK",), CAMERAS, ("CAM_FRONT", "CAM_BACK")):
        dataset = opened(root, views=views, scratch=tmp_path / "scratch")
        assert [view.image_id.split("/")[-1] for view in dataset.views(FIRST)] == list(views)


@pytest.mark.parametrize("damage", ["cut", "flipped", "of another kind", "gone"])
def test_a_damaged_index_is_made_again(root: Path, tmp_path: Path, damage: str) -> None:
    scratch = tmp_path / "scratch"
    expected = opened(root, scratch=scratch).views(FIRST)
    index = scratch / "nuscenes_index_v1.0-trainval.h5"
    whole = index.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    content = {"cut": whole[:-100], "flipped": bytes(flipped), "of another kind": b"{}"}
    index.unlink() if damage == "gone" else index.write_bytes(content[damage])
    views = opened(root, scratch=scratch).views(FIRST)
    for old, new in zip(expected, views):
        np.testing.assert_array_equal(old.camera.cam_from_points, new.camera.cam_from_points)
    assert len(index.read_bytes()) == len(whole)


def test_a_table_is_read_in_pieces(tmp_path: Path) -> None:
    """Five megabytes are more than a block; a record and a letter of two bytes may straddle its end."""
    rows = [{"token": f"{i:x}", "name": "é" * (i % 97), "at": [i, 0.5 * i]} for i in range(40_000)]
    path = tmp_path / "rows.json"
    for separators in ((",", ":"), (" ,\n ", " : ")):
        path.write_text(json.dumps(rows, ensure_ascii=False, separators=separators), encoding="utf-8")
        assert path.stat().st_size > 5 << 20
        assert list(records(path, ("token", "name"))) == rows
    path.write_text("[]")
    assert list(records(path, ("token",))) == []


# Faults


def remove(pattern: str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        next(root.glob(pattern)).unlink()

    return damage


def edited(table: str, edit: Callable[[list[dict[str, Any]]], object]) -> Callable[[Path], None]:
    return lambda root: change(root, table, edit)


def without(table: str, key: str) -> Callable[[Path], None]:
    return edited(table, lambda rows: rows[-1].pop(key))


def emptied(table: str) -> Callable[[Path], None]:
    return edited(table, lambda rows: rows.clear())


def with_all(table: str, key: str, value: Any) -> Callable[[Path], None]:
    return edited(table, lambda rows: [row.update({key: value}) for row in rows])


def written(pattern: str, content: bytes | str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        raw = content.encode() if isinstance(content, str) else content
        next(root.glob(pattern)).write_bytes(raw)

    return damage


def shrunk(root: Path) -> None:
    Image.new("RGB", (24, 15)).save(root / IMAGE)


POINTS = "samples/LIDAR_TOP/scene-0001__LIDAR_TOP__0.pcd.bin"
LABELS = f"lidarseg/v1.0-trainval/{lidar_token('scene-0001', 0)}_lidarseg.bin"
IMAGE = "samples/CAM_BACK/scene-0001__CAM_BACK__0.jpg"
NAN = some_points(10)
NAN[3:5, 1] = np.nan
TRAINVAL = "v1.0-trainval/"
BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    **{
        f"no {table}": (remove(f"{TRAINVAL}{table}.json"), rf"{table}\.json does not exist; unpack")
        for table in ("sensor", "calibrated_sensor", "ego_pose", "scene", "sample", "sample_data", "category")
    },
    "no labels at all": (
        remove(f"{TRAINVAL}lidarseg.json"),
        r"lidarseg\.json has no labels for scene-0001/000-\w+ of split 'train'; unpack nuScenes-lidarseg",
    ),
    "a scan without labels": (
        edited("lidarseg", lambda rows: rows.pop()),
        r"lidarseg\.json has no labels for scene-0001/001",
    ),
    "no JSON": (written(f"{TRAINVAL}scene.json", "hello"), r"scene\.json is cut off or no list of records"),
    "binary": (written(f"{TRAINVAL}scene.json", b"[\xff\xfe"), r"scene\.json is cut off or no list of rec"),
    "no list": (written(f"{TRAINVAL}scene.json", "{}"), r"scene\.json is .* \(it does not begin with a list"),
    "empty": (written(f"{TRAINVAL}sample.json", ""), r"sample\.json is cut off"),
    "cut": (
        written(f"{TRAINVAL}sample_data.json", '[{"token": "a", "sample'),
        r"sample_data\.json is cut off or no list of records in JSON",
    ),
    "no end": (written(f"{TRAINVAL}sensor.json", "[\n"), r"sensor\.json is cut off or no list of records"),
    "no records": (written(f"{TRAINVAL}sensor.json", "[1, 2]"), r'sensor\.json: record 0 lacks "channel"'),
    "no name": (without("scene", "name"), r'scene\.json: record 1 lacks "name"'),
    "no key frame": (without("sample_data", "is_key_frame"), r'record 63 lacks "is_key_frame"'),
    "no index": (without("category", "index"), r'category\.json: record 31 lacks "index"'),
    "other indices": (
        edited("category", lambda rows: rows[25].update(index=26)),
        r"category\.json: the index of 'flat\.other' is 26, expected 25; .* comes with nuScenes-lidarseg",
    ),
    "dangling sensor": (
        with_all("calibrated_sensor", "sensor_token", "f00"),
        r"sensor\.json lacks the record f00, which calibrated_sensor\.json names; copy both again",
    ),
    "dangling calibrated sensor": (
        with_all("sample_data", "calibrated_sensor_token", "f00"),
        r"calibrated_sensor\.json lacks the record f00, which sample_data\.json names",
    ),
    "dangling pose": (
        with_all("sample_data", "ego_pose_token", "f00"),
        r"ego_pose\.json lacks the record f00, which sample_data\.json names",
    ),
    "dangling scene": (
        with_all("sample", "scene_token", "f00"),
        r"scene\.json lacks the record f00, which sample\.json names",
    ),
    "dangling sample": (
        with_all("sample_data", "sample_token", "f00"),
        r"sample_data\.json lacks the record \w+ of sensor LIDAR_TOP, which sample\.json names",
    ),
    "no poses": (emptied("ego_pose"), r"ego_pose\.json lacks the record \w+, which sample_data"),
    "no scenes": (
        emptied("sample"),
        r"split 'train' names scene-0001, but .*scene\.json lacks it",
    ),
    "a long quaternion": (
        with_all("ego_pose", "rotation", [1, 1, 0, 0]),
        r"ego_pose\.json: record \w+ has a rotation that is no unit quaternion \(w, x, y, z\)",
    ),
    "a short quaternion": (with_all("ego_pose", "rotation", [1, 0, 0]), "no unit quaternion"),
    "a quaternion of words": (with_all("ego_pose", "rotation", "up"), "no unit quaternion"),
    "a NaN quaternion": (with_all("ego_pose", "rotation", [float("nan"), 0, 0, 0]), "no unit quaternion"),
    "an infinite pose": (
        with_all("ego_pose", "translation", [float("-inf"), 0, 0]),
        r"ego_pose\.json: record \w+ has a translation that is not three finite numbers",
    ),
    "no intrinsics": (
        with_all("calibrated_sensor", "camera_intrinsic", []),
        r"calibrated_sensor\.json: a CAM_FRONT has a camera_intrinsic that is not 3 x 3 finite numbers",
    ),
    "missing points": (remove(POINTS), r"LIDAR_TOP__0\.pcd\.bin does not exist; restore it"),
    "cut points": (
        written(POINTS, some_points(10).tobytes()[:-3]),
        r"LIDAR_TOP__0\.pcd\.bin is cut off: 7997 bytes are not a multiple of 20",
    ),
    "no point": (written(POINTS, b""), r"LIDAR_TOP__0\.pcd\.bin is empty"),
    "NaN points": (written(POINTS, NAN.tobytes()), r"\.pcd\.bin has 2 of 400 points with NaN or infinity"),
    "missing labels": (remove(LABELS), r"_lidarseg\.bin does not exist; restore it"),
    "labels of another length": (
        written(LABELS, bytes(399)),
        r"_lidarseg\.bin has 399 labels, its scan has 400 points",
    ),
    "unknown class": (written(LABELS, bytes([24, 32] * 200)), r"_lidarseg\.bin: unknown class id 32"),
    "resized image": (
        shrunk,
        r"CAM_BACK__0\.jpg is \(15, 24\) \(height, width\), .*sample_data\.json says \(30, 48\): restore",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_clear_line(root: Path, case: str) -> None:
    damage, pattern = BROKEN[case]
    damage(root)
    dataset = opened(root, test=())
    with pytest.raises(DataError, match=pattern) as caught:
        dataset.read_scan(dataset.scan_ids("train")[0])
    assert "\n" not in str(caught.value) and str(root) in str(caught.value)


def test_a_scene_that_no_table_holds_is_named(root: Path) -> None:
    pattern = r"split 'test' names scene-9999, but .*v1\.0-trainval/scene\.json lacks it; mend"
    with pytest.raises(DataError, match=pattern):
        opened(root, test=("scene-9999",)).scan_ids("test")


def test_a_view_that_is_no_camera_is_named(root: Path) -> None:
    pattern = r"sensor\.json has no sensor CAM_TOP \(it has CAM_BACK, .*\); mend `views` in the manifest"
    with pytest.raises(DataError, match=pattern):
        opened(root, views=("CAM_FRONT", "CAM_TOP")).scan_ids("train")


def test_a_version_that_is_not_there_is_named(root: Path) -> None:
    with pytest.raises(DataError, match=r"v1\.0-mini/\w+\.json does not exist; .* mend `root` and `version`"):
        opened(root, version="v1.0-mini").scan_ids("train")


# The submission

OFFICIAL = NuScenesSubmission(DatasetSpec("nuscenes", Path(), SplitSpec(("a",), ("b",))))


def test_a_submission_is_named_by_the_token_and_counts_from_one() -> None:
    token, scan_id = lidar_token("scene-0077", 0), scan_id_of("scene-0077", 0)
    assert OFFICIAL.file("test", scan_id) == PurePosixPath(f"lidarseg/test/{token}_lidarseg.bin")
    everything = np.arange(16, dtype=np.uint8)
    assert OFFICIAL.encode(everything) == bytes(range(1, 17))
    decoded = OFFICIAL.decode(bytes(range(1, 17)), "x.bin")
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, everything)
    assert OFFICIAL.label_space == LABEL_SPACE and OFFICIAL.absent == "dropped"


def test_the_small_version_has_evaluation_sets_of_its_own_name(tmp_path: Path) -> None:
    spec = DatasetSpec("nuscenes", tmp_path, SplitSpec(("a",), ("b",)), version="v1.0-mini")
    submission = submission_of(spec)
    token = lidar_token("scene-0103", 1)
    path = submission.file("val", scan_id_of("scene-0103", 1))
    assert path == PurePosixPath(f"lidarseg/mini_val/{token}_lidarseg.bin")
    assert list(submission.further_files("val")) == [PurePosixPath("mini_val/submission.json")]


@pytest.mark.parametrize("wrong", [0, 17, 255])
def test_a_submission_holds_no_class_but_1_to_16(wrong: int) -> None:
    with pytest.raises(DataError, match=rf"x\.bin: class id {wrong} is not in 1 to 16; export"):
        OFFICIAL.decode(bytes([1, wrong, 16]), "x.bin")


def test_a_point_without_class_is_not_submitted() -> None:
    with pytest.raises(DataError, match="class id 255 is not in 0 to 15"):
        OFFICIAL.encode(np.array([3, IGNORE], np.uint8))


def test_a_submission_says_what_it_uses_as_the_official_validation_wants_it() -> None:
    ((path, content),) = OFFICIAL.further_files("val").items()
    assert path == PurePosixPath("val/submission.json")
    meta = json.loads(content)["meta"]
    assert set(meta) == {"use_camera", "use_lidar", "use_radar", "use_map", "use_external"}
    assert all(isinstance(value, bool) for value in meta.values())
    assert meta["use_lidar"] and not meta["use_camera"] and meta["use_external"]


# The real frame


@pytest.fixture
def real(samples: Path, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A real key frame in tables whose chain of transforms gives its published calibration."""
    folder = samples / "nuscenes"
    cameras = json.loads((folder / "calibration.json").read_text())["cameras"]
    rig = rig_of({name: np.array(one["cam_from_lidar"]) for name, one in cameras.items()})
    rig.K = {name: one["K"] for name, one in cameras.items()}
    points = np.fromfile(folder / "LIDAR_TOP.bin", np.float32).reshape(-1, 5)
    write_nuscenes(
        tmp_path,
        ("scene-0001", "scene-0103"),
        frames=1,
        rig=rig,
        points_of=lambda seed: points,
        image_of=lambda channel: Image.open(folder / f"{channel}.jpg"),
    )
    return tmp_path, cameras


def rig_of(cam_from_lidar: dict[str, np.ndarray]) -> Rig:
    """A rig on a moving vehicle: each camera is mounted where the wanted transform and the motion put it."""
    rig = Rig(lidar=pose(about_z(-89.9), (0.94, 0, 1.84)), size_hw=(900, 1600))
    global_from_lidar = matrix_of(rig.ego(0, 0, "LIDAR_TOP")) @ matrix_of(rig.lidar)
    for name, wanted in cam_from_lidar.items():
        ego_from_global = invert_rigid(matrix_of(rig.ego(0, 0, name)))
        rig.cameras[name] = pose_of(ego_from_global @ global_from_lidar @ invert_rigid(wanted))
    return rig


def matrix_of(one: Pose) -> np.ndarray:
    w, x, y, z = one["rotation"]
    return rigid(Rotation.from_quat([x, y, z, w]).as_matrix(), np.array(one["translation"]))


def pose_of(transform: np.ndarray) -> Pose:
    x, y, z, w = Rotation.from_matrix(transform[:3, :3]).as_quat()
    return pose((w, x, y, z), transform[:3, 3].tolist())


@pytest.mark.samples
def test_a_real_key_frame_falls_into_its_six_images(real: tuple[Path, dict[str, Any]]) -> None:
    root, cameras = real
    scan = opened(root, test=()).read_scan(FIRST)
    assert len(scan.points) == 34_688 and scan.features.min() >= 0 and scan.features.max() <= 1
    counts = {}
    for name, view in zip(CAMERAS, scan.views, strict=True):
        np.testing.assert_allclose(view.camera.cam_from_points, cameras[name]["cam_from_lidar"], atol=1e-6)
        np.testing.assert_array_equal(view.camera.K, cameras[name]["K"])
        assert view.camera.size_hw == (900, 1600)
        inside = Visibility(kind="none", min_depth_m=1.0)
        counts[name] = len(visible_pixels(view.camera, scan.points, inside).point)
    print("\n" + ", ".join(f"{name} {n} ({n / len(scan.points):.1%})" for name, n in counts.items()))
    assert abs(min(counts.values()) - 3_067) <= 2 and abs(max(counts.values()) - 4_826) <= 2
