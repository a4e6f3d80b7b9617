"""Frames as a Rerun recording (.rrd): points, cameras, images, entities, captions over time.

The entities of a recording:
  sequence/scan                  the pose of the scan's points
  sequence/scan/prediction       points by predicted class; truth: by label; error: red if wrong
  sequence/scan/text             points by their phrase
  sequence/scan/cameras/NAME     pinhole camera; below it image, entities (boxes) and masks
  scan, captions/NAME            texts

Letters: N points of a scan.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import rerun as rr
import rerun.blueprint as rrb

from lass3d_core.errors import DataError
from lass3d_core.files.atomic import atomic_write
from lass3d_core.files.images import read_image, read_part
from lass3d_core.files.masks import decode
from lass3d_core.files.shards import ShardHeader
from lass3d_core.geometry.projection import invert_rigid
from lass3d_core.labels import IGNORE
from lass3d_core.records import Entity, FilePart
from train.outputs.colours import GREY, distinct_colours, error_colours
from train.outputs.frames import Frame, FrameImage

SCAN = "sequence/scan"
_MOST_PHRASES = 65_000  # rerun's class ids are uint16
_FRAMES_PER_S = 10.0  # as most LiDARs turn
_LEAST_FREE_BYTES = 128 * 2**20  # a frame of a million points has about 60 MB
_NONE = 0  # the class id of a point or pixel without a phrase


def write_recording(
    path: Path,
    frames: Iterable[Frame],
    header: ShardHeader,
    phrases: Sequence[str],
    title: str,
    identity: str,
) -> int:
    """Write `frames` to `path`; gives how many there were. Raises StorageError.

    phrases: of the data set. A phrase has the same colour in every recording of them.
    identity: recordings of the same identity replace each other in the viewer.
    """
    rr.set_strict_mode(True)  # a wrong argument raises; it would be a warning and a hole in the recording
    with atomic_write(path) as part:
        recording = rr.RecordingStream("lass3d", recording_id=identity)
        try:
            recording.save(part)
            recording.send_recording_name(title)
            ids = _write_classes(recording, header, phrases)
            cameras: dict[str, None] = {}
            count, has_truth = 0, False
            for frame in frames:
                _require_space(part)
                _write_frame(recording, frame, ids)
                shown = dict.fromkeys(image.camera_name for image in frame.images)
                for camera_name in cameras:
                    if camera_name not in shown:
                        _clear_image(recording, camera_name)
                cameras |= shown
                count, has_truth = count + 1, has_truth or frame.scan.labels is not None
                recording.flush()
            recording.send_blueprint(_blueprint(list(cameras), has_truth))
        finally:
            recording.disconnect()  # writes what is waiting
    return count


def _require_space(part: Path) -> None:
    """Raises OSError before the disk is full: on a full one Rerun waits for ever."""
    if shutil.disk_usage(part.parent).free < _LEAST_FREE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _write_classes(
    recording: rr.RecordingStream, header: ShardHeader, phrases: Sequence[str]
) -> dict[str, int]:
    """Write names and colours of classes and of phrases. Returns the class id of each phrase."""
    classes = [(label, *one) for label, one in enumerate(zip(header.class_names, header.colours))]
    classes.append((IGNORE, "no class", GREY))
    recording.log("sequence", rr.AnnotationContext(classes), rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    ids = {phrase: slot for slot, phrase in enumerate(phrases[:_MOST_PHRASES], start=_NONE + 1)}
    named: list[tuple[int, str, tuple[int, ...]]] = [(_NONE, "", (0, 0, 0, 0))]
    named += [(ids[phrase], phrase, colour) for phrase, colour in zip(ids, distinct_colours(len(ids)))]
    recording.log(f"{SCAN}/cameras", rr.AnnotationContext(named), static=True)
    recording.log(f"{SCAN}/text", rr.AnnotationContext([(_NONE, "no phrase", GREY), *named[1:]]), static=True)
    return ids


def _write_frame(recording: rr.RecordingStream, frame: Frame, ids: dict[str, int]) -> None:
    scan, pairs = frame.scan, frame.scan.pairs
    recording.set_time("frame", sequence=frame.number)
    recording.log("scan", rr.TextDocument(scan.scan_id))
    pose = frame.sequence_from_points
    recording.log(SCAN, rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]))
    recording.log(f"{SCAN}/prediction", rr.Points3D(scan.points, class_ids=frame.prediction))
    if scan.labels is not None:
        colours = error_colours(scan.labels, frame.prediction)
        recording.log(f"{SCAN}/truth", rr.Points3D(scan.points, class_ids=scan.labels))
        recording.log(f"{SCAN}/error", rr.Points3D(scan.points, colors=colours))
    else:  # what an earlier frame had must not stay
        recording.log(f"{SCAN}/truth", rr.Clear(recursive=False))
        recording.log(f"{SCAN}/error", rr.Clear(recursive=False))
    # The last row is for NONE, which is -1.
    of_slots = np.array([*(ids.get(phrase, _NONE) for phrase in pairs.phrases), _NONE], np.uint16)
    recording.log(f"{SCAN}/text", rr.Points3D(scan.points, class_ids=of_slots[pairs.entity]))
    for image in frame.images:
        _write_image(recording, image, ids)


def _write_image(recording: rr.RecordingStream, image: FrameImage, ids: dict[str, int]) -> None:
    camera, place = image.view.camera, [*SCAN.split("/"), "cameras", image.camera_name]
    height, width = camera.size_hw
    points_from_cam = invert_rigid(camera.cam_from_points)
    recording.log(
        place,
        rr.Transform3D(translation=points_from_cam[:3, 3], mat3x3=points_from_cam[:3, :3]),
        rr.Pinhole(image_from_camera=camera.K, resolution=(width, height), camera_xyz=rr.ViewCoordinates.RDF),
    )
    try:
        recording.log([*place, "image"], _as_it_is(image.view.image))
    except DataError:  # the captions have counted and named it
        recording.log([*place, "image"], rr.Clear(recursive=False))
    caption = image.said.caption.text if image.said.caption is not None else ""
    recording.log(["captions", image.camera_name], rr.TextDocument(caption))
    entities = image.said.entities
    boxes = rr.Boxes2D(
        array=np.array([one.box_xyxy for one in entities], np.float32).reshape(-1, 4),
        array_format=rr.Box2DFormat.XYXY,
        labels=[f"{one.phrase} {one.score:.2f}" for one in entities],
        class_ids=[ids.get(one.phrase, _NONE) for one in entities],
    )
    recording.log([*place, "entities"], boxes)
    masks = rr.SegmentationImage(_drawn(entities, camera.size_hw, ids), opacity=0.35, draw_order=1.0)
    recording.log([*place, "masks"], masks)


def _clear_image(recording: rr.RecordingStream, camera_name: str) -> None:
    """What an earlier frame had of a camera must not stay."""
    recording.log([*SCAN.split("/"), "cameras", camera_name], rr.Clear(recursive=True))
    recording.log(["captions", camera_name], rr.Clear(recursive=False))


def _as_it_is(part: FilePart) -> rr.EncodedImage | rr.Image:
    """The image as its file holds it, if the viewer can decode that. Raises DataError."""
    content = read_part(part)
    for beginning, kind in ((b"\xff\xd8", "image/jpeg"), (b"\x89PNG", "image/png")):
        if content.startswith(beginning):
            return rr.EncodedImage(contents=content, media_type=kind)
    return rr.Image(read_image(part))


def _drawn(entities: Sequence[Entity], size_hw: tuple[int, int], ids: dict[str, int]) -> np.ndarray:
    """The class id of each pixel, (H,W) uint16. The smallest entity owns a pixel, as it owns its text."""
    drawn = np.full(entities[0].mask.size_hw if entities else size_hw, _NONE, np.uint16)
    masks = [(decode(one.mask), ids.get(one.phrase, _NONE)) for one in entities]
    for mask, identity in sorted(masks, key=lambda pair: -int(pair[0].sum())):
        drawn[mask] = identity
    return drawn


def _blueprint(cameras: Sequence[str], has_truth: bool) -> rrb.Blueprint:
    """How the viewer opens: points by each colouring, beside the images and their captions."""
    kinds = ("prediction", "truth", "error", "text") if has_truth else ("prediction", "text")
    points = [
        rrb.Spatial3DView(
            origin="sequence",
            contents=[f"+ /{SCAN}/{kind}", *([f"+ /{SCAN}/cameras/**"] if kind == "prediction" else [])],
            name=kind,
        )
        for kind in kinds
    ]
    images = [
        rrb.Vertical(
            rrb.Spatial2DView(origin=rr.new_entity_path([*SCAN.split("/"), "cameras", name]), name=name),
            rrb.TextDocumentView(origin=rr.new_entity_path(["captions", name]), name="caption"),
            row_shares=[3, 1],
            name=name,
        )
        for name in cameras
    ]
    layout = rrb.Grid(*points) if not images else rrb.Horizontal(rrb.Grid(*points), rrb.Tabs(*images))
    time = rrb.TimePanel(timeline="frame", fps=_FRAMES_PER_S, state="collapsed")
    return rrb.Blueprint(layout, time, collapse_panels=True)
