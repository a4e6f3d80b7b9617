"""What a recording holds, read back by Rerun's own reader."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lass3d_core.errors import StorageError
from lass3d_core.files.masks import encode
from lass3d_core.files.shards import ShardHeader
from lass3d_core.records import Camera, Entity, FilePart, ImageCaption, PairedScan, PointTextPairs, View
from train.report.images import PicturedImage

pytest.importorskip("rerun", reason="optional: pip install rerun-sdk")

from rerun.chunk import RrdReader

from train.outputs.frames import Frame, FrameImage
from train.outputs.recording import write_recording

HEADER = ShardHeader(
    dataset="hand",
    shard="0",
    split="val",
    class_names=("road", "car"),
    colours=((10, 20, 30), (200, 100, 50)),
    raw_ids=(40, 10),
    feature_names=("remission",),
    record={"stage": "pairs", "schema": 1, "params": {}, "inputs": {}, "upstream": {}},
    producer="test",
)
PHRASES = ("the road", "a car", "a tree")
K = np.array([[30.0, 0, 20], [0, 30, 10], [0, 0, 1]])
CAM_FROM_POINTS = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0.5], [1, 0, 0, 0], [0, 0, 0, 1]])


def rectangle(phrase: str, score: float, x1: int, y1: int, x2: int, y2: int) -> Entity:
    mask = np.zeros((20, 40), bool)
    mask[y1:y2, x1:x2] = True
    return Entity(phrase, score, (x1, y1, x2, y2), encode(mask))


def frame(folder: Path, number: int, points: int, labelled: bool = True) -> Frame:
    """A car in front of the camera: a picture of one colour, the road, and on it the car."""
    rng = np.random.default_rng(number)
    scan_id = f"08/{number:06d}"
    pairs = PointTextPairs(
        image=np.zeros((points, 1), np.int16),
        entity=np.array([1, 0, *[-1] * (points - 2)], np.int16),
        image_ids=(f"{scan_id}/image_2",),
        phrases=("the road", "a car"),
    )
    labels = np.array([255, *[0] * (points - 1)], np.uint8) if labelled else None
    cloud = rng.normal(size=(points, 3)).astype(np.float32)
    scan = PairedScan(scan_id, cloud, np.zeros((points, 1), np.float32), labels, pairs)
    file = folder / f"{number}.png"
    Image.new("RGB", (40, 20), (number, 2, 3)).save(file)
    view = View(f"{scan_id}/image_2", FilePart(file), Camera(K, CAM_FROM_POINTS, (20, 40)))
    entities = (rectangle("a car", 0.87, 5, 5, 10, 10), rectangle("the road", 0.5, 0, 4, 40, 20))
    said = PicturedImage(view.image_id, view.image, ImageCaption("a car on the road", (), ""), entities)
    pose = np.eye(4)
    pose[0, 3] = float(number)
    prediction = np.array([0, 1, *[0] * (points - 2)], np.uint8)
    return Frame(number, scan, prediction, pose, (FrameImage(view, said),))


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Frames 3, 4 and 7, of 10, 20 and 30 points; the last has no labels."""
    frames = [frame(tmp_path, 3, 10), frame(tmp_path, 4, 20), frame(tmp_path, 7, 30, labelled=False)]
    path = tmp_path / "view" / "drive.rrd"
    assert write_recording(path, frames, HEADER, PHRASES, "a drive", "hand-08") == 3
    return path


def read(path: Path, entity: str, column: str) -> dict[int | None, Any]:
    """Frame -> what stands in a column of an entity; None is the frame of what is always there."""
    found: dict[int | None, Any] = {}
    for chunk in RrdReader(path).stream().to_chunks():
        batch = chunk.to_record_batch()
        if chunk.entity_path == entity and column in batch.schema.names:
            values = batch.column(batch.schema.names.index(column)).to_pylist()
            frames = [None] * len(values) if chunk.is_static else batch.column("frame").to_pylist()
            found |= dict(zip(frames, values))
    return found


def test_every_frame_has_its_points_and_its_classes(recorded: Path) -> None:
    place = "/sequence/scan/prediction"
    positions = read(recorded, place, "Points3D:positions")
    assert {number: len(points) for number, points in positions.items()} == {3: 10, 4: 20, 7: 30}
    assert read(recorded, place, "Points3D:class_ids")[3] == [0, 1, *[0] * 8]
    first = frame(recorded.parent.parent, 3, 10)
    assert np.array_equal(np.array(positions[3], np.float32), first.scan.points)


def test_truth_and_error_stand_where_there_are_labels_and_nothing_stays_where_there_are_none(
    recorded: Path,
) -> None:
    assert read(recorded, "/sequence/scan/truth", "Points3D:class_ids")[3] == [255, *[0] * 9]
    colours = read(recorded, "/sequence/scan/error", "Points3D:colors")
    assert set(colours) == {3, 4} and colours[3][:3] == [0x808080FF, 0xE12319FF, 0x96AABEFF]
    for kind in ("truth", "error"):
        assert set(read(recorded, f"/sequence/scan/{kind}", "Clear:is_recursive")) == {7}


def test_a_point_has_the_class_of_its_phrase(recorded: Path) -> None:
    assert read(recorded, "/sequence/scan/text", "Points3D:class_ids")[4] == [2, 1, *[0] * 18]
    (context,) = read(recorded, "/sequence/scan/text", "AnnotationContext:context").values()
    assert [one["class_description"]["info"]["label"] for one in context[0]] == ["no phrase", *PHRASES]


def test_the_classes_have_their_names_and_colours(recorded: Path) -> None:
    (context,) = read(recorded, "/sequence", "AnnotationContext:context").values()
    infos = [one["class_description"]["info"] for one in context[0]]
    assert [(info["id"], info["label"]) for info in infos] == [(0, "road"), (1, "car"), (255, "no class")]
    assert infos[1]["color"] == 0xC86432FF


def test_the_camera_is_a_pinhole_where_it_is_and_holds_the_file_as_it_is(recorded: Path) -> None:
    place = "/sequence/scan/cameras/image_2"
    (matrix,) = read(recorded, place, "Pinhole:image_from_camera")[3]
    assert np.allclose(np.array(matrix).reshape(3, 3).T, K)  # column by column
    assert read(recorded, place, "Pinhole:resolution")[3] == [[40.0, 20.0]]
    (turned,) = read(recorded, place, "Transform3D:mat3x3")[3]
    assert np.allclose(np.array(turned).reshape(3, 3).T, CAM_FROM_POINTS[:3, :3].T)
    blobs = read(recorded, f"{place}/image", "EncodedImage:blob")
    assert {number: bytes(blob[0]) for number, blob in blobs.items()} == {
        number: (recorded.parent.parent / f"{number}.png").read_bytes() for number in (3, 4, 7)
    }


def test_entities_are_boxes_with_their_phrases_and_masks_of_which_the_smallest_wins(recorded: Path) -> None:
    place = "/sequence/scan/cameras/image_2"
    assert read(recorded, f"{place}/entities", "Boxes2D:labels")[4] == ["a car 0.87", "the road 0.50"]
    assert read(recorded, f"{place}/entities", "Boxes2D:half_sizes")[4] == [[2.5, 2.5], [20.0, 8.0]]
    (blob,) = read(recorded, f"{place}/masks", "SegmentationImage:buffer")[7]
    drawn = np.frombuffer(bytes(blob), np.uint16).reshape(20, 40)
    assert [int((drawn == identity).sum()) for identity in (0, 1, 2)] == [160, 615, 25]
    assert read(recorded, "/captions/image_2", "TextDocument:text")[3] == ["a car on the road"]


def test_scans_stand_where_the_sequence_has_them(recorded: Path) -> None:
    moved = read(recorded, "/sequence/scan", "Transform3D:translation")
    assert {number: at[0][0] for number, at in moved.items()} == {3: 3.0, 4: 4.0, 7: 7.0}


def test_an_image_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    one = frame(tmp_path, 3, 10)
    (tmp_path / "3.png").unlink()
    write_recording(tmp_path / "x.rrd", [one], HEADER, PHRASES, "a drive", "hand")
    place = "/sequence/scan/cameras/image_2/image"
    assert read(tmp_path / "x.rrd", place, "EncodedImage:blob") == {}
    assert set(read(tmp_path / "x.rrd", place, "Clear:is_recursive")) == {3}


def test_a_recording_that_fails_leaves_the_old_one(recorded: Path) -> None:
    before = recorded.read_bytes()

    def broken() -> Any:
        yield frame(recorded.parent.parent, 3, 10)
        raise RuntimeError("the network failed")

    with pytest.raises(RuntimeError):
        write_recording(recorded, broken(), HEADER, PHRASES, "a drive", "hand-08")
    assert recorded.read_bytes() == before and [path.name for path in recorded.parent.iterdir()] == [
        "drive.rrd"
    ]


def test_what_a_frame_lacks_does_not_stay_from_the_frame_before(tmp_path: Path) -> None:
    """Frame 4 has no caption, frame 7 no camera."""
    first, second, third = (frame(tmp_path, number, 10) for number in (3, 4, 7))
    image = second.images[0]
    second = replace(second, images=(replace(image, said=replace(image.said, caption=None)),))
    frames = [first, second, replace(third, images=())]
    write_recording(tmp_path / "x.rrd", frames, HEADER, PHRASES, "a drive", "hand")
    assert read(tmp_path / "x.rrd", "/captions/image_2", "TextDocument:text")[4] == [""]
    for place in ("/sequence/scan/cameras/image_2", "/captions/image_2"):
        assert set(read(tmp_path / "x.rrd", place, "Clear:is_recursive")) == {7}


def test_a_full_disk_is_one_error_and_the_old_recording_stays(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, usage = recorded.read_bytes(), shutil.disk_usage(recorded)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10**6))
    with pytest.raises(StorageError, match=r"cannot write .*drive.rrd: the disk is full"):
        write_recording(
            recorded, [frame(recorded.parent.parent, 3, 10)], HEADER, PHRASES, "a drive", "hand-08"
        )
    assert recorded.read_bytes() == before and [one.name for one in recorded.parent.iterdir()] == [
        "drive.rrd"
    ]
