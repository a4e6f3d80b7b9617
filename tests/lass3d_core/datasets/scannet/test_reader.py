"""The ScanNet reader: both forms of frames, projection into them, and every broken file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from lass3d_core.clouds.ply import read_ply
from lass3d_core.datasets import open_dataset
from lass3d_core.datasets.scannet.reader import LABEL_SPACE, ScanNet, ScanNetSubmission
from lass3d_core.errors import DataError, UnknownName
from lass3d_core.files.images import read_depth, read_image, read_part
from lass3d_core.geometry.visible_pixels import MeasuredDepth, Visibility, VisiblePixels, visible_pixels
from lass3d_core.labels import IGNORE
from lass3d_core.manifest.schema import DatasetSpec, FramesSpec, SplitSpec
from lass3d_core.records import Scan, View
from tests.lass3d_core.datasets.scannet_files import (
    COLOUR_K,
    DEPTH_K,
    PAINT,
    ROOM,
    TABLE,
    TABLE_ID,
    WALL,
    Frame,
    camera_pose,
    export,
    jpeg,
    render,
    room_frames,
    room_points,
    sens_bytes,
    wide,
    write_matrix,
    write_mesh,
    write_scannet,
)

SCENE = "scene0000_00"
DEPTH_MAP = Visibility("depth_map", depth_tolerance=0.05, min_depth_m=0.1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_scannet(tmp_path, (SCENE, "scene0001_00"), unlabelled=("scene0707_00",))
    return tmp_path


def opened(
    root: Path,
    stride: int = 1,
    source: Literal["any", "exported", "sens"] = "any",
    train: tuple[str, ...] = (SCENE,),
    val: tuple[str, ...] = ("scene0001_00",),
) -> ScanNet:
    splits = SplitSpec(train, val, ("scene0707_00",))
    return ScanNet(DatasetSpec("scannet", root, splits, frames=FramesSpec(stride, source)))


@pytest.fixture
def refusal(root: Path) -> Callable[[], str]:
    """The one line with which reading the scene fails."""

    def line() -> str:
        with pytest.raises(DataError) as caught:
            opened(root).read_scan(SCENE)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return line


def folder(root: Path) -> Path:
    return root / "scans" / SCENE


def resize_images(root: Path, kind: str, size_hw: tuple[int, int]) -> None:
    for path in (folder(root) / kind).iterdir():
        with Image.open(path) as image:
            image.resize(size_hw[::-1], Image.Resampling.NEAREST).save(path)


def seen_in(view: View, points: np.ndarray) -> VisiblePixels:
    assert view.depth is not None
    measured = MeasuredDepth(read_depth(view.depth), view.depth.camera)
    return visible_pixels(view.camera, np.asarray(points, np.float32), DEPTH_MAP, measured)


def test_the_benchmark_keeps_20_of_the_41_nyu40_ids() -> None:
    ids = LABEL_SPACE.train_id_of_raw
    kept = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39]
    assert sorted(ids) == [*range(41), 50, 149]
    assert [raw for raw in ids if ids[raw] != IGNORE] == kept == list(LABEL_SPACE.raw_of_train_id)
    name = dict(zip(kept, LABEL_SPACE.names))
    assert (
        name[1] == "wall"
        and name[14] == "desk"
        and name[28] == "shower curtain"
        and name[39] == "otherfurniture"
    )


def test_a_scene_is_its_vertices_with_colours_and_labels(root: Path) -> None:
    scan = opened(root).read_scan(SCENE)
    points, nyu40 = room_points()
    assert scan.scan_id == SCENE and np.array_equal(scan.points, points)
    assert scan.features.dtype == np.float32
    assert np.allclose(scan.features[nyu40 == TABLE_ID] * 255, PAINT[TABLE_ID])
    assert np.array_equal(scan.labels, LABEL_SPACE.train_ids(nyu40, ""))
    assert set(np.unique(nyu40[scan.labels == IGNORE])) == {22}


def test_views_are_named_by_scene_and_frame(root: Path) -> None:
    views = opened(root).views(SCENE)
    assert [view.image_id for view in views] == [f"{SCENE}/{number:06d}" for number in range(6)]
    assert views[0].camera.size_hw == (48, 64)
    assert views[0].depth is not None and views[0].depth.camera.size_hw == (24, 32)


def test_the_test_split_lies_in_its_own_folder_and_has_no_labels(root: Path) -> None:
    scan = opened(root).read_scan("scene0707_00")
    assert scan.labels is None and len(scan.views) == 6
    (root / "scans_test" / "scene0707_00").rename(root / "scans" / "scene0707_00")
    assert opened(root).read_scan("scene0707_00").labels is None


def test_frames_are_taken_by_number_at_the_stride(root: Path) -> None:
    for name, suffix in (("color", "jpg"), ("depth", "png"), ("pose", "txt")):
        (folder(root) / name / f"5.{suffix}").rename(folder(root) / name / f"10.{suffix}")
    names = [view.image_id[-6:] for view in opened(root, stride=2).views(SCENE)]
    assert names == ["000000", "000002", "000004"]
    names = [view.image_id[-6:] for view in opened(root, stride=5).views(SCENE)]
    assert names == ["000000", "000010"]


def test_blocks_hold_one_scene_where_a_street_has_sixteen_scans(root: Path) -> None:
    (block,) = opened(root).blocks("train", 8)
    assert (block.name, block.split, block.scan_ids) == ("train-000", "train", (SCENE,))
    both = ScanNet(DatasetSpec("scannet", root, SplitSpec((SCENE, "scene0001_00"), ("scene0707_00",))))
    assert [len(block.scan_ids) for block in both.blocks("train", 31)] == [1, 1]
    assert [len(block.scan_ids) for block in both.blocks("train", 32)] == [2]


def test_splits_may_be_the_official_lists(root: Path, tmp_path: Path) -> None:
    (tmp_path / "scannetv2_train.txt").write_text(f"scene0001_00\n{SCENE}\n")
    dataset = ScanNet(
        DatasetSpec("scannet", root, SplitSpec((str(tmp_path / "scannetv2_train.txt"),), ("scene0707_00",)))
    )
    assert dataset.scan_ids("train") == (SCENE, "scene0001_00")


def test_a_scene_twice_in_a_list_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{SCENE}\nscene0001_00\n{SCENE}\n")
    with pytest.raises(DataError, match=f"list.txt, line 3 names {SCENE}, as does .*list.txt, line 1"):
        opened(root, train=(str(tmp_path / "list.txt"),), val=("scene0002_00",))


def test_unknown_splits_and_scenes_are_refused(root: Path) -> None:
    with pytest.raises(UnknownName, match="no split 'tests'"):
        opened(root).scan_ids("tests")
    with pytest.raises(DataError, match=r"'train' names scene0009_00, but there is no .*scans/scene0009_00"):
        opened(root, train=("scene0009_00",)).scan_ids("train")


def test_a_point_on_the_wall_lies_at_the_pixel_that_shows_it(root: Path) -> None:
    view = opened(root).views(SCENE)[0]
    pixel = (3, 40)
    depth = render(camera_pose(0), COLOUR_K, (48, 64))[0][pixel]
    ray = np.linalg.solve(COLOUR_K, (pixel[1] + 0.5, pixel[0] + 0.5, 1)) * depth
    pose = camera_pose(0).astype(np.float64)
    point = pose[:3, :3] @ ray + pose[:3, 3]
    assert point[0] == pytest.approx(ROOM[1, 0])  # the far wall
    seen = seen_in(view, point[None])
    assert (seen.v.tolist(), seen.u.tolist()) == ([3], [40])
    assert seen.depth[0] == pytest.approx(depth, abs=1e-4)


def test_a_point_behind_the_table_is_not_seen(root: Path) -> None:
    view = opened(root).views(SCENE)[0]
    front, behind = (TABLE[0, 0], 1.5, 0.6), (ROOM[1, 0], 1.5, 0.1)
    assert seen_in(view, [front, behind]).point.tolist() == [0]
    both = visible_pixels(view.camera, np.array([front, behind], np.float32), Visibility("none"))
    assert both.point.tolist() == [0, 1]


def test_visible_vertices_lie_on_pixels_of_their_own_colour(root: Path) -> None:
    scan = opened(root).read_scan(SCENE)
    agree, total = 0, 0
    for view in scan.views:
        seen = seen_in(view, scan.points)
        shown = read_image(view.image)[seen.v, seen.u].astype(int)
        agree += (abs(shown - 255 * scan.features[seen.point]).max(axis=1) < 40).sum()
        total += len(seen.point)
    assert total > 2000 and agree / total > 0.97  # the rest lies within a pixel of an edge


def test_a_frame_without_any_depth_sees_nothing(root: Path) -> None:
    Image.fromarray(np.zeros((24, 32), np.uint16)).save(folder(root) / "depth" / "0.png")
    scan = opened(root).read_scan(SCENE)
    assert len(seen_in(scan.views[0], scan.points).point) == 0
    assert len(seen_in(scan.views[1], scan.points).point) > 0


def same_views(one: tuple[View, ...], other: tuple[View, ...]) -> bool:
    assert len(one) == len(other)
    for a, b in zip(one, other):
        assert a.depth is not None and b.depth is not None
        for mine, theirs in ((a.camera, b.camera), (a.depth.camera, b.depth.camera)):
            assert mine.size_hw == theirs.size_hw
            assert np.array_equal(mine.K, theirs.K)
            assert np.array_equal(mine.cam_from_points, theirs.cam_from_points)
        assert a.image_id == b.image_id and read_part(a.image) == read_part(b.image)
        assert np.array_equal(read_depth(a.depth), read_depth(b.depth))
    return True


@pytest.mark.parametrize("stride", [1, 2])
def test_sens_and_exported_frames_give_the_same_scan(tmp_path: Path, stride: int) -> None:
    scenes = (SCENE, "scene0001_00")
    write_scannet(tmp_path / "exported", scenes, lost=(2, 3), unlabelled=("scene0707_00",))
    write_scannet(tmp_path / "sens", scenes, lost=(2, 3), unlabelled=("scene0707_00",), sens=True)
    exported, sens = opened(tmp_path / "exported", stride), opened(tmp_path / "sens", stride)
    one, other = exported.read_scan(SCENE), sens.read_scan(SCENE)
    assert np.array_equal(one.points, other.points) and np.array_equal(one.labels, other.labels)
    assert np.array_equal(one.features, other.features)
    assert same_views(one.views, other.views)
    assert len(one.views) == {1: 4, 2: 2}[stride]
    assert exported.skipped_frames(SCENE) == sens.skipped_frames(SCENE) == {1: 2, 2: 1}[stride]


def test_the_source_of_frames_can_be_chosen(root: Path) -> None:
    (folder(root) / f"{SCENE}.sens").write_bytes(sens_bytes(room_frames(3)))
    assert len(opened(root).views(SCENE)) == 6
    assert len(opened(root, source="exported").views(SCENE)) == 6
    assert len(opened(root, source="sens").views(SCENE)) == 3
    shutil.rmtree(folder(root) / "color")
    assert len(opened(root).views(SCENE)) == 3


@pytest.mark.parametrize("place", ["scannet_frames_25k", "tasks/scannet_frames_25k"])
def test_the_release_of_25k_frames_is_read(root: Path, place: str) -> None:
    wanted = opened(root).views(SCENE)
    away = root / place / SCENE
    for name in ("color", "depth", "pose"):
        (away / name).mkdir(parents=True)
        for path in (folder(root) / name).iterdir():
            path.rename(away / name / f"{100 * int(path.stem):06d}{path.suffix}")
        (folder(root) / name).rmdir()
    for kind in ("color", "depth"):
        (folder(root) / "intrinsic" / f"intrinsic_{kind}.txt").rename(away / f"intrinsics_{kind}.txt")
    shutil.rmtree(folder(root) / "intrinsic")
    views = opened(root).views(SCENE)
    assert [view.image_id[-6:] for view in views] == [
        "000000",
        "000100",
        "000200",
        "000300",
        "000400",
        "000500",
    ]
    assert np.array_equal(views[2].camera.K, wanted[2].camera.K)
    assert np.array_equal(views[2].camera.cam_from_points, wanted[2].camera.cam_from_points)


def test_extrinsics_lead_from_each_camera_to_what_the_pose_places(root: Path) -> None:
    wanted = opened(root).views(SCENE)[1].camera.cam_from_points
    offset = np.eye(4)
    offset[:3, 3] = (0.04, -0.01, 0.02)
    write_matrix(folder(root) / "intrinsic" / "extrinsic_color.txt", offset)
    view = opened(root).views(SCENE)[1]
    assert np.allclose(view.camera.cam_from_points, np.linalg.inv(offset) @ wanted, atol=1e-6)
    assert view.depth is not None and np.allclose(view.depth.camera.cam_from_points, wanted, atol=1e-6)


def test_the_input_files_are_those_that_the_scan_is_read_from(root: Path) -> None:
    files = opened(root, stride=3).input_files(SCENE)
    names = {str(part.path.relative_to(folder(root))) for part in files.points}
    cameras = {
        f"intrinsic/{one}_{kind}.txt" for one in ("intrinsic", "extrinsic") for kind in ("color", "depth")
    }
    assert names == cameras | {
        f"{SCENE}_vh_clean_2.ply",
        f"{SCENE}_vh_clean_2.labels.ply",
        f"{SCENE}.txt",
        *(
            f"{kind}/{number}.{suffix}"
            for kind, suffix in (("pose", "txt"), ("depth", "png"))
            for number in (0, 3)
        ),
    }
    assert [part.path.name for part in files.images] == ["0.jpg", "3.jpg"]
    test = opened(root).input_files("scene0707_00")
    assert not any("labels" in part.path.name for part in test.points)


def test_the_input_parts_of_a_sens_file_do_not_overlap_and_leave_other_frames_out(tmp_path: Path) -> None:
    write_scannet(tmp_path, (SCENE,), sens=True)
    dataset = opened(tmp_path, stride=4)
    files = dataset.input_files(SCENE)
    parts = [part for part in (*files.points, *files.images) if part.path.suffix == ".sens"]
    spans = sorted((part.start, part.start + (part.size or 0)) for part in parts)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert len(files.images) == 2 and len(parts) == 1 + 2 * 3
    assert files.images == tuple(view.image for view in dataset.views(SCENE))


# images of another size than their intrinsics


@pytest.mark.parametrize("kind", ["color", "depth"])
def test_resized_images_get_rescaled_intrinsics(root: Path, kind: str) -> None:
    resize_images(root, kind, (12, 16))
    view = opened(root).views(SCENE)[0]
    camera = view.camera if kind == "color" else view.depth.camera if view.depth else None
    factor = 1 / 4 if kind == "color" else 1 / 2
    K = np.diag([factor, factor, 1]) @ (COLOUR_K if kind == "color" else DEPTH_K)
    assert camera is not None and camera.size_hw == (12, 16) and np.allclose(camera.K, K)


def test_intrinsics_that_were_scaled_with_the_images_stay(root: Path) -> None:
    resize_images(root, "color", (96, 128))
    write_matrix(folder(root) / "intrinsic" / "intrinsic_color.txt", wide(np.diag([2, 2, 1]) @ COLOUR_K))
    assert np.allclose(opened(root).views(SCENE)[0].camera.K, np.diag([2, 2, 1]) @ COLOUR_K)


def test_resized_images_without_the_size_of_the_first_are_refused(
    root: Path, refusal: Callable[[], str]
) -> None:
    (folder(root) / f"{SCENE}.txt").unlink()
    assert opened(root).views(SCENE)[0].camera.size_hw == (48, 64)
    resize_images(root, "color", (24, 32))
    message = refusal()
    assert "color/0.jpg is 32 x 24, but the principal point of" in message
    assert "intrinsic_color.txt is (32.25, 23.75)" in message and "scale the intrinsics" in message


def test_cropped_images_are_refused(root: Path, refusal: Callable[[], str]) -> None:
    resize_images(root, "color", (48, 40))
    assert "0.jpg is 40 x 48, but the principal point" in refusal()


# broken variants


def test_a_scene_whose_frames_are_all_lost_has_no_views(tmp_path: Path) -> None:
    write_scannet(tmp_path, (SCENE,), frames=3, lost=(0, 1, 2))
    dataset = opened(tmp_path)
    assert dataset.read_scan(SCENE).views == () and dataset.skipped_frames(SCENE) == 3


def test_nan_poses_are_lost_frames_too(root: Path) -> None:
    (folder(root) / "pose" / "1.txt").write_text("nan nan nan nan\n" * 4)
    dataset = opened(root)
    assert len(dataset.views(SCENE)) == 5 and dataset.skipped_frames(SCENE) == 1


@pytest.mark.parametrize("source", ["any", "exported", "sens"])
def test_a_training_scene_without_frames_has_no_images(
    tmp_path: Path, source: Literal["any", "exported", "sens"]
) -> None:
    write_scannet(tmp_path, (SCENE,), frames=0, sens=True)
    (folder(tmp_path) / f"{SCENE}.sens").unlink()
    assert opened(tmp_path, source=source).read_scan(SCENE).views == ()
    assert opened(tmp_path, source=source).images(SCENE) == ()


def test_a_scene_of_val_or_test_may_have_no_frames(root: Path) -> None:
    for name in ("color", "depth", "pose", "intrinsic"):
        shutil.rmtree(root / "scans" / "scene0001_00" / name)
    dataset = opened(root)
    scan = dataset.read_scan("scene0001_00")
    assert scan.views == () and scan.labels is not None and dataset.skipped_frames("scene0001_00") == 0
    assert dataset.input_files("scene0001_00").images == ()


def test_an_empty_folder_of_images_is_refused(root: Path, refusal: Callable[[], str]) -> None:
    shutil.rmtree(folder(root) / "color")
    (folder(root) / "color").mkdir()
    assert "color holds no numbered images" in refusal()


@pytest.mark.parametrize(("kind", "suffix"), [("pose", "txt"), ("depth", "png")])
def test_an_image_without_its_pose_or_depth_is_refused(
    root: Path, refusal: Callable[[], str], kind: str, suffix: str
) -> None:
    (folder(root) / kind / f"4.{suffix}").unlink()
    message = refusal()
    assert message.startswith("frame 4 has ") and f"nothing in {folder(root) / kind}" in message


def test_a_pose_without_an_image_is_no_frame(root: Path) -> None:
    (folder(root) / "color" / "3.jpg").unlink()
    assert [view.image_id[-1] for view in opened(root).views(SCENE)] == ["0", "1", "2", "4", "5"]


def test_frames_without_any_depth_folder_have_no_depth(root: Path) -> None:
    shutil.rmtree(folder(root) / "depth")
    assert all(view.depth is None for view in opened(root).views(SCENE))


def test_a_scene_without_its_mesh_is_refused(root: Path, refusal: Callable[[], str]) -> None:
    (folder(root) / f"{SCENE}_vh_clean_2.ply").unlink()
    assert f"{SCENE}_vh_clean_2.ply does not exist" in refusal()


def test_labels_of_another_mesh_are_refused(root: Path, refusal: Callable[[], str]) -> None:
    points, nyu40 = room_points()
    write_mesh(folder(root) / f"{SCENE}_vh_clean_2.labels.ply", points[:-1], nyu40[:-1], labels=True)
    assert f"labels.ply has {len(points) - 1} labels, its mesh {len(points)} vertices" in refusal()


def test_the_stray_ids_of_three_official_scenes_are_ignored(root: Path) -> None:
    points, nyu40 = room_points()
    nyu40[3:5] = 50, 149
    write_mesh(folder(root) / f"{SCENE}_vh_clean_2.labels.ply", points, nyu40, labels=True)
    labels = opened(root).read_scan(SCENE).labels
    assert labels is not None and labels[3:5].tolist() == [IGNORE, IGNORE]


def test_an_unknown_nyu40_id_is_refused(root: Path, refusal: Callable[[], str]) -> None:
    points, nyu40 = room_points()
    nyu40[3] = 41
    write_mesh(folder(root) / f"{SCENE}_vh_clean_2.labels.ply", points, nyu40, labels=True)
    assert "labels.ply: unknown class id 41" in refusal()


@pytest.mark.parametrize("kind", ["float", "double"])
def test_labels_may_be_stored_as_whole_floats(root: Path, kind: str, refusal: Callable[[], str]) -> None:
    """As CloudCompare and plyfile users write them."""
    wanted = opened(root).read_scan(SCENE).labels
    path = folder(root) / f"{SCENE}_vh_clean_2.labels.ply"
    labels = read_ply(path)["vertex"]["label"].astype("<f4" if kind == "float" else "<f8")
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(labels)}\nproperty {kind} label\n"
    path.write_bytes(header.encode() + b"end_header\n" + labels.tobytes())
    assert np.array_equal(opened(root).read_scan(SCENE).labels, wanted)
    for wrong in (1.5, np.nan, np.inf):
        labels[3] = wrong
        path.write_bytes(header.encode() + b"end_header\n" + labels.tobytes())
        assert f"labels.ply: the label {wrong} is not a whole number" in refusal()


def test_a_mesh_without_colours_or_labels_is_refused(root: Path, refusal: Callable[[], str]) -> None:
    mesh, labels = (folder(root) / f"{SCENE}_vh_clean_2{end}" for end in (".ply", ".labels.ply"))
    shutil.copy(mesh, labels)
    assert "labels.ply: its vertices have no label" in refusal()
    mesh.write_bytes(mesh.read_bytes().replace(b"red", b"RED"))
    assert "its vertices have no red;" in refusal()
    points, nyu40 = room_points()
    write_mesh(mesh, points[:0], nyu40[:0])
    assert "has no vertices" in refusal()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("pose/2.txt", "1 0 0 0\n0 1 0 0\n", "must hold 4 lines of 4 numbers"),
        ("pose/2.txt", "a b c d\n" * 4, "2.txt, line 1: 'a' is no number; export the frames again"),
        ("pose/2.txt", "1,0 0 0 0\n", "2.txt, line 1: '1,0' has a decimal comma, write 1.0"),
        (f"{SCENE}.txt", "colorWidth = 8\n\ncolorWidth = 9\n", "colorWidth stands on lines 1 and 3"),
        (f"{SCENE}.txt", "colorWidth = 1296.5\n", "line 1: colorWidth is '1296.5', no number of pixels"),
        ("pose/2.txt", "2 0 0 0\n0 2 0 0\n0 0 2 0\n0 0 0 1\n", "the pose is not a rigid transform"),
        ("pose/2.txt", "-1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", "the pose is not a rigid transform"),
        ("intrinsic/intrinsic_color.txt", "0 " * 16, "holds no intrinsics of a pinhole camera"),
        ("intrinsic/intrinsic_color.txt", "nan " * 16, "holds no intrinsics of a pinhole camera"),
        ("intrinsic/extrinsic_depth.txt", "0 " * 16, "the extrinsics beside it are not a rigid transform"),
    ],
)
def test_a_damaged_file_is_named(
    root: Path, refusal: Callable[[], str], name: str, content: str, reason: str
) -> None:
    (folder(root) / name).write_text(content)
    message = refusal()
    assert reason in message and (name in message or "intrinsic_depth.txt" in message)


def test_a_missing_camera_is_named(root: Path, refusal: Callable[[], str]) -> None:
    (folder(root) / "intrinsic" / "intrinsic_color.txt").unlink()
    assert "intrinsic/intrinsic_color.txt does not exist" in refusal()


def test_a_second_export_over_an_old_one_is_what_counts(root: Path) -> None:
    shutil.rmtree(folder(root) / "color")
    pose = camera_pose(1.0)
    export(folder(root), [Frame(pose, jpeg(np.zeros((48, 64, 3), np.uint8)), np.zeros((24, 32), np.uint16))])
    (view,) = opened(root).views(SCENE)
    assert np.allclose(np.linalg.inv(view.camera.cam_from_points), pose, atol=1e-6)


# submission


def test_a_submission_is_one_nyu40_id_a_line() -> None:
    form = ScanNetSubmission(DatasetSpec("scannet", Path(), SplitSpec(("a",), ("b",))))
    train_ids = np.array([0, 19, 12, IGNORE], np.uint8)
    assert form.file("test", "scene0707_00") == PurePosixPath("scene0707_00.txt")
    assert form.encode(train_ids) == b"1\n39\n14\n0\n"
    assert form.decode(form.encode(train_ids), "x").tolist() == train_ids.tolist()
    assert form.further_files("test") == {} and form.absent == "dropped"


def test_ids_of_no_class_are_wrong_but_not_refused() -> None:
    form = ScanNetSubmission(DatasetSpec("scannet", Path(), SplitSpec(("a",), ("b",))))
    assert form.decode(b"13\n41\n-5\n100000\n1\n", "x").tolist() == [IGNORE] * 4 + [0]
    assert len(form.decode(b"", "x")) == 0
    for content in (b"wall\n", b"1.5\n", b"\xff\n"):
        with pytest.raises(DataError, match=r"a.txt must hold one nyu40 id a line"):
            form.decode(content, "a.txt")


def test_the_manifest_opens_this_reader(root: Path) -> None:
    spec = DatasetSpec("scannet", root, SplitSpec((SCENE,), ("scene0001_00",)))
    dataset = open_dataset(spec)
    assert isinstance(dataset, ScanNet) and dataset.feature_names == ("red", "green", "blue")
    assert isinstance(dataset.read_scan(SCENE), Scan) and WALL in LABEL_SPACE.raw_of_train_id
