"""The SemanticKITTI reader: the official layout, both forms of calibration, and every broken file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lass3d_core.datasets import Dataset, open_dataset
from lass3d_core.datasets.semantickitti.reader import LABEL_SPACE
from lass3d_core.errors import DataError, UnknownName
from lass3d_core.files.images import read_image
from lass3d_core.geometry.projection import project
from lass3d_core.geometry.visible_pixels import Visibility, visible_pixels
from lass3d_core.labels import IGNORE
from lass3d_core.manifest.schema import DatasetSpec, SplitSpec

TR = "0 -1 0 0 0 0 -1 -0.1 1 0 0 -0.3"
P = "100 0 30 {} 0 100 20 0 0 0 1 0"
POINTS = np.array([[5, 1, 0, 0.5], [6, -1, -1, 0.25], [-4, 0, 0, 1]], np.float32)
RAW = np.array([40, 252 | 7 << 16, 99], np.uint32)


def make_sequence(root: Path, name: str, frames: int = 2, labelled: bool = True) -> Path:
    folder = root / "sequences" / name
    for part in ("velodyne", "labels", "image_2", "image_3"):
        (folder / part).mkdir(parents=True)
    for frame in range(frames):
        POINTS.tofile(folder / "velodyne" / f"{frame:06d}.bin")
        if labelled:
            RAW.tofile(folder / "labels" / f"{frame:06d}.label")
        for image in ("image_2", "image_3"):
            Image.new("RGB", (60, 40)).save(folder / image / f"{frame:06d}.png")
    lines = [f"P{number}: {P.format(-50 * number)}" for number in range(4)]
    (folder / "calib.txt").write_text("\n".join([*lines, f"Tr: {TR}", ""]))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_sequence(tmp_path, "00", frames=5)
    make_sequence(tmp_path, "01", frames=2)
    make_sequence(tmp_path, "11", frames=1, labelled=False)
    return tmp_path


def opened(root: Path, views: tuple[str, ...] = ("image_2",), train: tuple[str, ...] = ("00",)) -> Dataset:
    return open_dataset(DatasetSpec("semantickitti", root, SplitSpec(train, ("01",), ("11",)), views))


def test_there_are_34_raw_ids_19_classes_and_an_ignore_label() -> None:
    assert len(LABEL_SPACE.train_id_of_raw) == 34 and len(LABEL_SPACE.names) == 19
    ids = LABEL_SPACE.train_id_of_raw
    assert [raw for raw, train_id in ids.items() if train_id == IGNORE] == [0, 1, 52, 99]
    name = {raw: LABEL_SPACE.names[train_id] for raw, train_id in ids.items() if train_id != IGNORE}
    assert name[252] == "car" and name[60] == "road" and name[13] == name[16] == name[257] == "other-vehicle"
    assert name[254] == "person" and name[253] == "bicyclist" and name[255] == "motorcyclist"
    assert LABEL_SPACE.raw_of_train_id == (
        10, 11, 15, 18, 20, 30, 31, 32, 40, 44, 48, 49, 50, 51, 70, 71, 72, 80, 81,
    )  # fmt: skip
    assert len(set(LABEL_SPACE.colours)) == 19 and LABEL_SPACE.colours[0] == (100, 150, 245)


def test_a_scan_has_points_remission_train_ids_and_views(root: Path) -> None:
    scan = opened(root).read_scan("00/000001")
    np.testing.assert_array_equal(scan.points, POINTS[:, :3])
    np.testing.assert_array_equal(scan.features, POINTS[:, 3:])
    assert scan.labels is not None and scan.labels.tolist() == [8, 0, 255]
    assert [view.image_id for view in scan.views] == ["00/000001/image_2"]
    assert scan.views[0].camera.size_hw == (40, 60)


def test_the_offset_of_a_camera_is_in_its_projection_and_is_not_added_twice(root: Path) -> None:
    """Worked by hand: the official x = P2 Tr X against K [R|t] X, for every camera."""
    names = ("image_2", "image_3")
    Tr = np.vstack([np.array(TR.split(), float).reshape(3, 4), [0, 0, 0, 1]])
    for number, view in zip((2, 3), opened(root, names).views("00/000000")):
        P_i = np.array(P.format(-50 * number).split(), float).reshape(3, 4)
        official = P_i @ Tr @ np.column_stack([POINTS[:, :3], np.ones(3)]).T
        uv, depth = project(view.camera, POINTS[:, :3])
        np.testing.assert_allclose(depth, official[2], rtol=1e-6)
        np.testing.assert_allclose(uv[:2], (official[:2] / official[2]).T[:2], rtol=1e-5)
        np.testing.assert_allclose(view.camera.cam_from_points[0, 3], -50 * number / 100)


def test_a_point_in_image_3_is_shifted_by_focal_length_times_baseline_over_depth(root: Path) -> None:
    """By hand: f = 100 px, P2 = +0.2 m and P3 = -0.34 m from camera 0, a baseline of 0.54 m; at depth 4.7 m
    and 5.7 m (x - 0.3) the shift is 54 / 4.7 and 54 / 5.7 pixels to the left, and the row is the same."""
    replace_line(root, "P2", "100 0 30 20 0 100 20 0 0 0 1 0")
    replace_line(root, "P3", "100 0 30 -34 0 100 20 0 0 0 1 0")
    left, right = opened(root, ("image_2", "image_3")).views("00/000000")
    assert (left.image_id, right.image_id) == ("00/000000/image_2", "00/000000/image_3")
    assert right.image.path == root / "sequences/00/image_3/000000.png"
    (uv_left, depth), (uv_right, _) = (project(view.camera, POINTS[:2, :3]) for view in (left, right))
    np.testing.assert_allclose(depth, [4.7, 5.7], rtol=1e-6)
    np.testing.assert_allclose(uv_left - uv_right, [[54 / 4.7, 0], [54 / 5.7, 0]], atol=1e-4)


def test_a_projection_without_offset_belongs_to_a_transform_to_the_camera_itself(root: Path) -> None:
    """P2 = K [I|t] with Tr to camera 0, and K [I|0] with Tr to camera 2, name the same pixels."""
    replace_line(root, "P2", "100 0 30 20 0 100 20 0 0 0 1 0")
    official = project(opened(root).views("00/000000")[0].camera, POINTS[:, :3])
    replace_line(root, "P2", "100 0 30 0 0 100 20 0 0 0 1 0")
    replace_line(root, "Tr", "0 -1 0 0.2 0 0 -1 -0.1 1 0 0 -0.3")
    for found, wanted in zip(project(opened(root).views("00/000000")[0].camera, POINTS[:, :3]), official):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_the_size_of_an_image_is_its_own_and_not_that_of_another_sequence(root: Path) -> None:
    for frame in range(2):
        Image.new("RGB", (70, 44)).save(root / f"sequences/01/image_2/{frame:06d}.png")
    replace_line(root, "P2", "100 0 34 0 0 100 21 0 0 0 1 0", sequence="01")
    dataset = opened(root)
    cameras = [dataset.views(scan_id)[0].camera for scan_id in ("00/000000", "01/000000")]
    assert [camera.size_hw for camera in cameras] == [(40, 60), (44, 70)]
    assert [camera.K[0, 2] for camera in cameras] == [30, 34]


@pytest.mark.parametrize(
    ("centre", "size_hw"),
    [
        ((609.5593, 172.8540), (375, 1242)),  # KITTI, sequence 03
        ((601.8873, 183.1104), (370, 1226)),  # KITTI, sequences 04 to 12
        ((682.0495, 238.7695), (376, 1408)),  # KITTI-360
        ((485.0001, 241.6494), (540, 960)),  # PandaSet, halved together with K
    ],
)
def test_the_projections_of_real_cameras_fit_their_images_and_not_those_of_half_the_size(
    root: Path, centre: tuple[float, float], size_hw: tuple[int, int]
) -> None:
    replace_line(root, "P2", f"700 0 {centre[0]} 0 0 700 {centre[1]} 0 0 0 1 0")
    height, width = size_hw
    Image.new("RGB", (width, height)).save(root / "sequences/00/image_2/000000.png")
    assert opened(root).views("00/000000")[0].camera.size_hw == size_hw
    Image.new("RGB", (width // 2, height // 2)).save(root / "sequences/00/image_2/000000.png")
    with pytest.raises(DataError, match=r'000000\.png is .* "P2" of .*calib\.txt is far from its middle'):
        opened(root).views("00/000000")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "calib_time: 09-Jan-2012 13:57:47\ncorner_dist: 9.95e-02\n" + text,
        lambda text: "\ufeff# my rig\n" + text.replace("\n", "\r\n") + "D_00: -3.7e-01 2e-01\nK_00: 1 2 3\n",
        lambda text: text.replace("P0: 100", "P0: nan") + "a line without a form\nP1: 1 2\n",
        lambda text: text.replace(":", "").replace("Tr", "Tr \t", 1),
        lambda text: text.replace("P2:", "P2 :") + "P9: 1\nP9: 2\n",
    ],
)
def test_only_the_lines_that_are_used_are_checked(root: Path, change: Callable[[str], str]) -> None:
    before = opened(root).views("00/000000")[0].camera
    rewrite("calib.txt", change)(root / "sequences/00")
    after = opened(root).views("00/000000")[0].camera
    assert np.array_equal(after.K, before.K) and np.array_equal(after.cam_from_points, before.cam_from_points)


def test_a_camera_that_looks_elsewhere_has_its_own_line(root: Path) -> None:
    """`Tr_3` replaces `Tr` for image_3 alone: here a camera that looks to the left."""
    replace_line(root, "P3", "100 0 30 0 0 100 20 0 0 0 1 0")
    with (root / "sequences/00/calib.txt").open("a") as file:
        file.write("Tr_3: 1 0 0 0 0 0 -1 0 0 1 0 2\n")
    front, left = opened(root, ("image_2", "image_3")).views("00/000000")
    points = np.array([[0, 5, 0]], np.float32)
    assert project(left.camera, points)[1].tolist() == [7.0]
    assert project(front.camera, points)[1][0] < 0


def test_scans_are_listed_by_split_in_ascending_order(root: Path) -> None:
    dataset = opened(root)
    assert dataset.scan_ids("train") == tuple(f"00/{frame:06d}" for frame in range(5))
    assert dataset.scan_ids("val") == ("01/000000", "01/000001")
    make_sequence(root, "02", frames=1)
    assert opened(root, train=("02", "00")).scan_ids("train") == (*dataset.scan_ids("train"), "02/000000")
    with pytest.raises(UnknownName, match=r"no split 'dev' \(known: train, val, test\)"):
        dataset.scan_ids("dev")


def test_blocks_hold_every_scan_once_and_none_of_two_sequences(root: Path) -> None:
    make_sequence(root, "02", frames=3)
    blocks = opened(root, train=("00", "02")).blocks("train", 2)
    assert [block.name for block in blocks] == ["00-000", "00-001", "00-002", "02-000", "02-001"]
    assert blocks[2].scan_ids == ("00/000004",) and {block.split for block in blocks} == {"train"}
    assert sum((block.scan_ids for block in blocks), ()) == opened(root, train=("00", "02")).scan_ids("train")


def test_an_empty_label_folder_of_a_test_sequence_is_no_label(root: Path) -> None:
    assert (root / "sequences/11/labels").is_dir()
    assert opened(root).read_scan("11/000000").labels is None


def test_labels_of_a_test_sequence_are_read_where_they_are(root: Path) -> None:
    """As in a simulated world, whose test split is evaluated here."""
    RAW.tofile(root / "sequences/11/labels/000000.label")
    labels = opened(root).read_scan("11/000000").labels
    assert labels is not None and labels.tolist() == [8, 0, 255]


def test_the_instance_in_the_upper_bits_changes_no_label(root: Path) -> None:
    plain = opened(root).read_scan("00/000000").labels
    (RAW | np.uint32(0xFFFF << 16)).tofile(root / "sequences/00/labels/000000.label")
    np.testing.assert_array_equal(opened(root).read_scan("00/000000").labels, plain)


def test_input_files_are_exactly_what_is_read(root: Path) -> None:
    dataset = opened(root)
    labelled, unlabelled = dataset.input_files("00/000000"), dataset.input_files("11/000000")
    assert [file.path.name for file in labelled.points] == ["000000.bin", "000000.label", "calib.txt"]
    assert [file.path.name for file in unlabelled.points] == ["000000.bin", "calib.txt"]
    assert [file.path.relative_to(root).as_posix() for file in labelled.images] == [
        "sequences/00/image_2/000000.png"
    ]


def test_views_need_no_points(root: Path) -> None:
    (root / "sequences/00/velodyne/000000.bin").write_bytes(b"")
    assert len(opened(root).views("00/000000")) == 1


def replace_line(root: Path, key: str, numbers: str, sequence: str = "00") -> None:
    path = root / "sequences" / sequence / "calib.txt"
    others = [line for line in path.read_text().splitlines() if not line.startswith(f"{key}:")]
    path.write_text("\n".join([*others, f"{key}: {numbers}", ""]))


def rewrite(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / name).write_text(change((folder / name).read_text()))

    return apply


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def points_with(value: float) -> bytes:
    wrong = POINTS.copy()
    wrong[:2, 1] = value
    return wrong.tobytes()


BIN, LABEL, IMAGE = "velodyne/000000.bin", "labels/000000.label", "image_2/000000.png"
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut points": (write(BIN, POINTS.tobytes()[:-3]), r"000000\.bin is cut off: 45 bytes"),
    "no point": (write(BIN, b""), r"000000\.bin is empty"),
    "NaN points": (write(BIN, points_with(np.nan)), r"000000\.bin has 2 of 3 points with NaN or infinity"),
    "infinite points": (write(BIN, points_with(np.inf)), r"000000\.bin has 2 of 3 points with NaN"),
    "missing points": (remove(BIN), r"000000\.bin does not exist"),
    "labels of another length": (
        write(LABEL, RAW[:2].tobytes()),
        r"000000\.label has 8 bytes, .* needs 12",
    ),
    "cut labels": (write(LABEL, RAW.tobytes()[:-1]), r"000000\.label has 11 bytes"),
    "unknown class": (
        write(LABEL, np.uint32([40, 77, 300]).tobytes()),
        r"000000\.label: unknown class ids 77 \(1 point\), 300 \(1 point\)",
    ),
    "missing calibration": (remove("calib.txt"), r"calib\.txt does not exist"),
    "no Tr": (
        rewrite("calib.txt", lambda text: text.replace("Tr:", "Tx:")),
        r'no line "Tr".*data_odometry_calib\.zip',
    ),
    "no P2": (rewrite("calib.txt", lambda text: text.replace("P2:", "Q2:")), r'no line "P2" for image_2'),
    "short line": (
        rewrite("calib.txt", lambda text: text.replace(" -0.3", "")),
        r'calib\.txt, line 5: "Tr" needs 12 numbers, found 11',
    ),
    "words": (rewrite("calib.txt", lambda text: text.replace("-0.3", "x")), r"line 5: 'x' is no number"),
    "decimal comma": (
        rewrite("calib.txt", lambda text: text.replace("-0.3", "-0,3")),
        r"calib\.txt, line 5: '-0,3' has a decimal comma, write -0\.3",
    ),
    "a line twice": (
        rewrite("calib.txt", lambda text: text + "P2: " + "1 " * 12 + "\n"),
        r'calib\.txt has more than one line "P2": lines 3 and 6; delete the wrong one',
    ),
    "binary": (write("calib.txt", b"\xff\xfe\x00"), r"calib\.txt is no UTF-8 text"),
    "infinite Tr": (
        rewrite("calib.txt", lambda text: text.replace("-0.3", "inf")),
        r"line 5: 'inf' is no finite number",
    ),
    "no rotation": (
        rewrite("calib.txt", lambda text: text.replace("0 -1 0 0", "0 -2 0 0")),
        r'"Tr" holds no rotation matrix',
    ),
    "a reflection": (
        rewrite("calib.txt", lambda text: text.replace("0 0 -1 -0.1", "0 0 1 -0.1")),
        r'"Tr" holds no rotation matrix',
    ),
    "the object benchmark's calibration": (
        rewrite("calib.txt", lambda text: text.replace("Tr:", "R0_rect: 1 0 0 0 1 0 0 0 1\nTr_velo_to_cam:")),
        r'\("R0_rect"\); .*data_odometry_calib\.zip',
    ),
    "an offset twice": (
        rewrite("calib.txt", lambda text: text + f"Tr_2: {TR}\n"),
        r'"Tr_2" transforms to image_2 itself, but the last column of "P2" holds its offset again',
    ),
    "no projection": (
        rewrite("calib.txt", lambda text: text.replace("P2: 100", "P2: -100")),
        r'"P2" is not the projection',
    ),
    "an image of another size": (
        lambda folder: Image.new("RGB", (30, 20)).save(folder / IMAGE),
        r'000000\.png is 20 x 30 .*"P2" of .*restore the images, or scale the projection',
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_clear_line(root: Path, case: str) -> None:
    damage, pattern = BROKEN[case]
    damage(root / "sequences" / "00")
    with pytest.raises(DataError, match=pattern) as caught:
        opened(root).read_scan("00/000000")
    assert "\n" not in str(caught.value) and str(root) in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"GIF89a", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_an_image_that_cannot_be_read_is_no_view_and_still_expected(
    root: Path, content: bytes | None
) -> None:
    image = root / "sequences/00" / IMAGE
    image.unlink()
    if content is not None:
        image.write_bytes(content)
    dataset = opened(root)
    assert dataset.views("00/000000") == () and dataset.read_scan("00/000000").views == ()
    assert [one.image_id for one in dataset.images("00/000000")] == ["00/000000/image_2"]
    assert len(dataset.views("00/000001")) == 1


def test_a_sequence_without_the_folder_of_images_has_no_camera_and_needs_no_calibration(root: Path) -> None:
    for name in ("image_2", "image_3"):
        shutil.rmtree(root / "sequences/00" / name)
    (root / "sequences/00/calib.txt").unlink()
    dataset = opened(root)
    assert dataset.images("00/000000") == () and dataset.read_scan("00/000000").views == ()
    assert not dataset.input_files("00/000000").images and len(dataset.views("01/000000")) == 1


def test_no_views_in_the_manifest_mean_no_image(root: Path) -> None:
    (root / "sequences/00/calib.txt").unlink()
    assert opened(root, ()).read_scan("00/000000").views == ()


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".jpeg", ".PNG"])
def test_images_may_be_jpeg_and_suffixes_in_capitals(root: Path, suffix: str) -> None:
    image = root / "sequences/00" / IMAGE
    image.unlink()
    Image.new("RGB", (60, 40), (9, 8, 7)).save(image.with_suffix(suffix))
    (view,) = opened(root).views("00/000000")
    assert view.camera.size_hw == (40, 60) and view.image.path.suffix == suffix
    assert abs(read_image(view.image).astype(int) - (9, 8, 7)).max() < 6


def test_the_same_frame_as_png_and_as_jpeg_is_refused(root: Path) -> None:
    Image.new("RGB", (60, 40)).save((root / "sequences/00" / IMAGE).with_suffix(".jpg"))
    with pytest.raises(DataError, match=r"000000\.jpg and 000000\.png are files of one frame; delete one"):
        opened(root).images("00/000000")


def test_what_a_mac_leaves_beside_a_file_is_no_scan(root: Path) -> None:
    (root / "sequences/00/velodyne/._000000.bin").write_bytes(b"Mac OS X")
    assert all("._" not in scan_id for scan_id in opened(root).scan_ids("train"))


def test_columns_and_scale_of_the_manifest_are_those_of_the_files(root: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 200, (30, 5)).astype("<f4")
    path = root / "sequences/00" / BIN
    values.tofile(path)
    (root / "sequences/00/labels/000000.label").unlink()
    spec = DatasetSpec(
        *("semantickitti", root, SplitSpec(("00",), ("01",)), ()),
        columns=("x", "y", "z", "ring", "intensity"),
        features=("intensity",),
        intensity_scale=200.0,
    )
    scan = open_dataset(spec).read_scan("00/000000")
    np.testing.assert_array_equal(scan.points, values[:, :3])
    np.testing.assert_allclose(scan.features, values[:, 4:] / 200, rtol=1e-6)


def test_a_folder_in_place_of_a_file_is_one_clear_line(root: Path) -> None:
    file = root / "sequences/00" / BIN
    file.unlink()
    file.mkdir()
    with pytest.raises(DataError, match=r"000000\.bin cannot be read"):
        opened(root).read_scan("00/000000")


def test_an_image_folder_has_a_number(root: Path) -> None:
    with pytest.raises(DataError, match=r"views: 'camera_front' is not an image folder of this layout"):
        opened(root, ("image_2", "camera_front"))


def test_a_sequence_without_frames_is_named(root: Path) -> None:
    make_sequence(root, "02", frames=0)
    with pytest.raises(DataError, match=r"split 'train' names 02, but .* holds no \.bin file"):
        opened(root, train=("00", "02")).scan_ids("train")


def test_a_sequence_that_a_list_names_twice_is_refused(root: Path) -> None:
    (root / "train.txt").write_text("00\n02\n00\n")
    with pytest.raises(DataError, match=r"train\.txt, line 3 names 00, as does .*train\.txt, line 1; a name"):
        opened(root, train=(str(root / "train.txt"),))
    (root / "train.txt").write_text("00\n01\n")
    with pytest.raises(DataError, match=r"splits\.val names 01, as does .*train\.txt, line 2"):
        opened(root, train=(str(root / "train.txt"),))


@pytest.mark.parametrize("name", ["a b", "a#b", "a\nb", "x" * 101, "a:b", "~"])
def test_a_scan_whose_name_no_later_stage_takes_is_refused_at_once(root: Path, name: str) -> None:
    POINTS.tofile(root / "sequences/00/velodyne" / f"{name}.bin")
    with pytest.raises(DataError, match=r"split 'train' holds the scan '00/.*; rename its files") as caught:
        opened(root).scan_ids("train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["1.2", "zürich_7", "2024-01-02T12-00"])
def test_a_scan_may_be_named_by_letters_of_any_language(root: Path, name: str) -> None:
    POINTS.tofile(root / "sequences/00/velodyne" / f"{name}.bin")
    assert f"00/{name}" in opened(root).scan_ids("train")


def test_a_sequence_that_is_not_there_is_named(root: Path) -> None:
    with pytest.raises(DataError, match=r"split 'train' names 77, but .* holds no \.bin file"):
        opened(root, train=("00", "77")).scan_ids("train")


@pytest.mark.samples
def driven_forward(root: Path, lines: int = 5) -> None:
    """Poses of sequence 00: camera 0 moves along its optical axis, two metres a scan."""
    poses = [f"1 0 0 0 0 1 0 0 0 0 1 {2 * frame}\n" for frame in range(lines)]
    (root / "sequences/00/poses.txt").write_text("".join(poses))


def test_the_scans_before_and_after_come_nearest_first_and_never_from_another_sequence(root: Path) -> None:
    dataset = opened(root)
    assert dataset.scans_before("00/000003", 2) == ("00/000002", "00/000001")
    assert dataset.scans_before("00/000001", 9) == ("00/000000",)
    assert dataset.scans_before("01/000000", 9) == () and dataset.scans_before("00/000003", 0) == ()
    assert dataset.scans_after("00/000000", 2) == ("00/000001", "00/000002")
    assert dataset.scans_after("00/000003", 9) == ("00/000004",)
    assert dataset.scans_after("00/000004", 9) == () and dataset.scans_after("00/000000", 0) == ()


def test_an_earlier_camera_stood_further_back(root: Path) -> None:
    """By hand: two scans are four metres, so a point 5 m ahead of the LiDAR, 4.7 m ahead of the camera (Tr),
    was 8.7 m ahead of where the camera stood."""
    driven_forward(root)
    dataset = opened(root)
    (own,), (one_back,), (two_back,) = dataset.views("00/000003"), *dataset.views_before("00/000003", 2)
    assert (one_back.image_id, two_back.image_id) == ("00/000002/image_2", "00/000001/image_2")
    points = np.array([[5, 1, 0]], np.float32)
    depths = [float(project(view.camera, points)[1][0]) for view in (own, one_back, two_back)]
    assert depths == pytest.approx([4.7, 6.7, 8.7])
    u = [float(project(view.camera, points)[0][0, 0]) for view in (own, two_back)]
    assert u == pytest.approx([30 - 100 * (1 + 1) / 4.7, 30 - 100 * (1 + 1) / 8.7])  # P2 adds -100 px m


def test_scans_without_a_pose_are_named(root: Path) -> None:
    driven_forward(root, lines=3)
    assert len(opened(root).views_before("00/000002", 2)) == 2
    with pytest.raises(DataError, match=r"poses\.txt has 3 poses and none for scan 000003"):
        opened(root).views_before("00/000003", 2)
    assert opened(root).views_before("01/000000", 2) == ()  # nothing is before it, so no pose is asked for


def test_labelled_points_lie_on_pixels_of_their_colour(samples: Path) -> None:
    """Vegetation is greener than road in a photograph, if and only if the points lie where they belong."""
    dataset = opened(samples / "pandaset_as_semantickitti")
    scan = dataset.read_scan("00/000000")
    pixels = read_image(scan.views[0].image).astype(np.float32)
    seen = visible_pixels(scan.views[0].camera, scan.points, Visibility())
    greenness = pixels[seen.v, seen.u, 1] - pixels[seen.v, seen.u][:, [0, 2]].mean(axis=1)
    assert scan.labels is not None
    labels = scan.labels[seen.point]
    green = {
        name: greenness[labels == LABEL_SPACE.names.index(name)].mean() for name in ("vegetation", "road")
    }
    assert green["vegetation"] > green["road"] + 1
