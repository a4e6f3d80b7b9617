"""SemanticKITTI and every data set in its layout.

`root/sequences/SS/` holds
- velodyne/NNNNNN.bin, the points,
- labels/NNNNNN.label, except for the test sequences,
- image_2/NNNNNN.png or .jpg and calib.txt, except for sequences without a camera,
- poses.txt, which is needed only if other scans lend their images.
A scan id is "SS/NNNNNN", an image id "SS/NNNNNN/image_2".
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np

from lass3d_core.datasets import ScanFiles, Submission, readable
from lass3d_core.datasets.points import layout_of, read_label_file, read_points
from lass3d_core.datasets.poses import read_poses
from lass3d_core.datasets.semantickitti.calibration import (
    OFFICIAL_CALIBRATION,
    camera_of,
    read_calibration,
    require_central_centre,
)
from lass3d_core.datasets.sequences import SequenceDataset
from lass3d_core.errors import DataError
from lass3d_core.files.listing import IMAGE_SUFFIXES, by_stem
from lass3d_core.geometry.projection import rigid
from lass3d_core.labels import IGNORE, AbsentClasses, LabelSpace
from lass3d_core.manifest.schema import DatasetSpec
from lass3d_core.records import FilePart, ImageFile, Scan, View

_CLASSES: tuple[tuple[str, tuple[int, ...], tuple[int, int, int]], ...] = (
    ("car", (10, 252), (100, 150, 245)),
    ("bicycle", (11,), (100, 230, 245)),
    ("motorcycle", (15,), (30, 60, 150)),
    ("truck", (18, 258), (80, 30, 180)),
    ("other-vehicle", (20, 13, 16, 256, 257, 259), (0, 0, 255)),
    ("person", (30, 254), (255, 30, 30)),
    ("bicyclist", (31, 253), (255, 40, 200)),
    ("motorcyclist", (32, 255), (150, 30, 90)),
    ("road", (40, 60), (255, 0, 255)),
    ("parking", (44,), (255, 150, 255)),
    ("sidewalk", (48,), (75, 0, 75)),
    ("other-ground", (49,), (175, 0, 75)),
    ("building", (50,), (255, 200, 0)),
    ("fence", (51,), (255, 120, 50)),
    ("vegetation", (70,), (0, 175, 0)),
    ("trunk", (71,), (135, 60, 0)),
    ("terrain", (72,), (150, 240, 80)),
    ("pole", (80,), (255, 240, 150)),
    ("traffic-sign", (81,), (255, 0, 0)),
)
"""Name, raw ids (the first one is for submissions), colour (r, g, b), as in semantic-kitti.yaml."""

_IGNORED_RAW_IDS = (0, 1, 52, 99)  # unlabeled, outlier, other-structure, other-object

LABEL_SPACE = LabelSpace(
    names=tuple(name for name, _, _ in _CLASSES),
    train_id_of_raw=dict.fromkeys(_IGNORED_RAW_IDS, IGNORE)
    | {raw: train_id for train_id, (_, raw_ids, _) in enumerate(_CLASSES) for raw in raw_ids},
    raw_of_train_id=tuple(raw_ids[0] for _, raw_ids, _ in _CLASSES),
    colours=tuple(colour for _, _, colour in _CLASSES),
)


class SemanticKitti(SequenceDataset):
    """The SemanticKITTI layout. The feature is the remission, in [0,1], unless the manifest names others.

    Decision: a sequence without the folder image_2 has no camera. Where the folder is, every scan should have
    an image in it.
    """

    official = LABEL_SPACE

    def __init__(self, spec: DatasetSpec, scratch: Path | None = None) -> None:
        super().__init__(spec, scratch)
        self._sequences = spec.root / "sequences"
        self._layout = layout_of(spec, ("x", "y", "z", "remission"), ("remission",))
        self.feature_names = self._layout.features
        self._view_names = ("image_2",) if spec.views is None else spec.views
        for name in self._view_names:
            if not re.fullmatch(r"image_\d+", name):
                raise DataError(f"views: {name!r} is not an image folder of this layout, such as image_2")
        self._calibration = cache(read_calibration)
        self._poses = cache(read_poses)
        self._listed = cache(by_stem)

    def read_scan(self, scan_id: str) -> Scan:
        """See Dataset. The features are in the order of `feature_names`."""
        points, features = read_points(self._points(scan_id), self._layout)
        label_path = self._path(scan_id, "labels", ".label")
        labels = read_label_file(label_path, len(points), self.label_space) if label_path.exists() else None
        return Scan(scan_id, points, features, labels, self.views(scan_id))

    def images(self, scan_id: str) -> tuple[ImageFile, ...]:
        """See Dataset."""
        sequence, frame = scan_id.split("/")
        found = []
        for name in self._view_names:
            listed = self._listed(self._sequences / sequence / name, IMAGE_SUFFIXES)
            if listed:
                path = listed.get(frame, self._path(scan_id, name, ".png"))
                found.append(ImageFile(f"{scan_id}/{name}", FilePart(path)))
        return tuple(found)

    def views(self, scan_id: str) -> tuple[View, ...]:
        """See Dataset."""
        return tuple(self._view(one, size_hw) for one, size_hw in readable(self.images(scan_id)))

    def input_files(self, scan_id: str) -> ScanFiles:
        """See Dataset. The calibration of the sequence is among `points`."""
        path, images = self._path(scan_id, "labels", ".label"), self.images(scan_id)
        labels = FilePart(path) if path.exists() else None
        calibration = [FilePart(self._file(scan_id, "calib.txt"))] if images else []
        return ScanFiles(
            points=(FilePart(self._points(scan_id)), *([labels] if labels else []), *calibration),
            images=tuple(one.image for one in images),
            labels=labels,
            poses=FilePart(self._file(scan_id, "poses.txt")),
        )

    def _scans_in(self, sequence: str, split: str) -> list[str]:
        scan_ids = self._list_scans(sequence)
        if not scan_ids:
            folder = self._sequences / sequence / "velodyne"
            what = f"split {split!r} names {sequence}, but {folder} holds no .bin file"
            raise DataError(f"{what}; mend `splits`")
        return scan_ids

    def _list_scans(self, sequence: str) -> list[str]:
        listed = self._listed(self._sequences / sequence / "velodyne", (".bin",))
        return [f"{sequence}/{frame}" for frame in listed]

    def _points(self, scan_id: str) -> Path:
        sequence, frame = scan_id.split("/")
        listed = self._listed(self._sequences / sequence / "velodyne", (".bin",))
        return listed.get(frame, self._path(scan_id, "velodyne", ".bin"))

    def _path(self, scan_id: str, folder: str, suffix: str) -> Path:
        sequence, frame = scan_id.split("/")
        return self._sequences.joinpath(sequence, folder, frame + suffix)

    def _file(self, scan_id: str, name: str) -> Path:
        """A file of the scan's sequence."""
        return self._sequences / scan_id.split("/")[0] / name

    def world_from_points(self, scan_id: str) -> np.ndarray:
        """See Dataset: world_from_camera0, which is line NNNNNN of poses.txt, times `Tr`."""
        path, calibration = self._file(scan_id, "poses.txt"), self._file(scan_id, "calib.txt")
        poses, lidar = self._poses(path), self._calibration(calibration).get("Tr")
        frame = scan_id.split("/")[1]
        if lidar is None:
            raise DataError(f'{calibration} has no line "Tr"; {OFFICIAL_CALIBRATION}')
        if not frame.isdecimal() or int(frame) >= len(poses):
            raise DataError(f"{path} has {len(poses)} poses and none for scan {frame}; copy it again")
        return poses[int(frame)] @ rigid(lidar[:, :3], lidar[:, 3])

    def _view(self, one: ImageFile, size_hw: tuple[int, int]) -> View:
        scan_id, _, name = one.image_id.rpartition("/")
        calibration, number = self._file(scan_id, "calib.txt"), name.removeprefix("image_")
        camera = camera_of(self._calibration(calibration), number, size_hw, calibration)
        require_central_centre(camera, one.image.path, f'"P{number}" of {calibration}')
        return View(one.image_id, one.image, camera)


class SemanticKittiSubmission(Submission):
    """sequences/SS/predictions/NNNNNN.label, a raw id (uint32) per point."""

    official = LABEL_SPACE
    absent: AbsentClasses = "zero"

    def file(self, split: str, scan_id: str) -> PurePosixPath:
        sequence, frame = scan_id.split("/")
        return PurePosixPath("sequences", sequence, "predictions", f"{frame}.label")

    def encode(self, train_ids: np.ndarray) -> bytes:
        return LABEL_SPACE.raw_ids(train_ids).astype("<u4").tobytes()

    def decode(self, content: bytes, where: str) -> np.ndarray:
        """See Submission. As in evaluate_semantics.py, only the lower 16 bits count."""
        if len(content) % 4:
            raise DataError(f"{where} is cut off: {len(content)} bytes are no multiple of 4; export it again")
        return LABEL_SPACE.train_ids(np.frombuffer(content, "<u4") & 0xFFFF, where)


DATASET, SUBMISSION = SemanticKitti, SemanticKittiSubmission
