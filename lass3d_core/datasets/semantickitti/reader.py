"""SemanticKITTI and every data set in its layout.

`root/sequences/SS/` holds
- velodyne/NNNNNN.bin, the points,
- labels/NNNNNN.label, except for the test sequences,
- image_2/NNNNNN.png and calib.txt,
- poses.txt, which is needed only for views of earlier scans.
A scan id is "SS/NNNNNN", an image id "SS/NNNNNN/image_2".
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from lass3d_core.datasets import Block, ScanFiles, cut_blocks, names_of
from lass3d_core.datasets.semantickitti.calibration import (
    OFFICIAL_CALIBRATION,
    camera_of,
    read_bytes,
    read_calibration,
    require_central_centre,
)
from lass3d_core.datasets.semantickitti.poses import read_poses
from lass3d_core.errors import DataError, UnknownName
from lass3d_core.files.images import image_size
from lass3d_core.geometry.projection import invert_rigid, rigid
from lass3d_core.labels import IGNORE, AbsentClasses, LabelSpace
from lass3d_core.manifest.schema import DatasetSpec
from lass3d_core.records import Camera, FilePart, Scan, View

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

_IGNORED_RAW_IDS = (0, 1, 52, 99)
"""unlabeled, outlier, other-structure, other-object."""

LABEL_SPACE = LabelSpace(
    names=tuple(name for name, _, _ in _CLASSES),
    train_id_of_raw=dict.fromkeys(_IGNORED_RAW_IDS, IGNORE)
    | {raw: train_id for train_id, (_, raw_ids, _) in enumerate(_CLASSES) for raw in raw_ids},
    raw_of_train_id=tuple(raw_ids[0] for _, raw_ids, _ in _CLASSES),
    colours=tuple(colour for _, _, colour in _CLASSES),
)


class SemanticKitti:
    """The `Dataset` contract for the SemanticKITTI layout. The only feature is the remission."""

    label_space = LABEL_SPACE
    feature_names: tuple[str, ...] = ("remission",)

    def __init__(self, spec: DatasetSpec) -> None:
        self._sequences = spec.root / "sequences"
        self._splits = names_of(spec.splits)
        self._view_names = spec.views or ("image_2",)
        for name in self._view_names:
            if not re.fullmatch(r"image_\d+", name):
                raise DataError(f"views: {name!r} is not an image folder of this layout, such as image_2")
        self._calibrations: dict[str, dict[str, np.ndarray]] = {}
        self._ordered: dict[str, list[str]] = {}
        self._poses: dict[str, np.ndarray] = {}

    def scan_ids(self, split: str) -> tuple[str, ...]:
        """See Dataset: the sequences' scans, in the order of the sequences' names."""
        return tuple(scan_id for scan_ids in self._scans_of(split).values() for scan_id in scan_ids)

    def blocks(self, split: str, size: int) -> list[Block]:
        """See Dataset: no block holds scans of two sequences."""
        return cut_blocks(split, self._scans_of(split), size)

    def read_scan(self, scan_id: str) -> Scan:
        """See Dataset. features (N,1): remission in [0,1]. Raises DataError."""
        bin_path, label_path = (
            self._path(scan_id, "velodyne", ".bin"),
            self._path(scan_id, "labels", ".label"),
        )
        values = _read_points(bin_path)
        labels = _read_labels(label_path, len(values)) if label_path.exists() else None
        points, remission = np.ascontiguousarray(values[:, :3]), np.ascontiguousarray(values[:, 3:])
        return Scan(scan_id, points, remission, labels, self.views(scan_id))

    def views(self, scan_id: str) -> tuple[View, ...]:
        """See Dataset: a view per camera that the manifest names."""
        return tuple(self._view(scan_id, name) for name in self._view_names)

    def input_files(self, scan_id: str) -> ScanFiles:
        """See Dataset. The calibration of the sequence is among `points`."""
        label_path = self._path(scan_id, "labels", ".label")
        return ScanFiles(
            points=(
                FilePart(self._path(scan_id, "velodyne", ".bin")),
                *((FilePart(label_path),) if label_path.exists() else ()),
                FilePart(self._calibration_path(scan_id)),
            ),
            images=tuple(FilePart(self._path(scan_id, name, ".png")) for name in self._view_names),
            poses=FilePart(self._poses_path(scan_id)),
        )

    def scans_before(self, scan_id: str, count: int) -> tuple[str, ...]:
        """See Dataset. Only scans that exist count, so a thinned sequence has larger steps."""
        sequence = scan_id.split("/")[0]
        if sequence not in self._ordered:
            folder = self._sequences / sequence / "velodyne"
            self._ordered[sequence] = sorted(f"{sequence}/{path.stem}" for path in folder.glob("*.bin"))
        place = bisect_left(self._ordered[sequence], scan_id)
        return tuple(reversed(self._ordered[sequence][max(0, place - count) : place]))

    def views_before(self, scan_id: str, count: int) -> tuple[tuple[View, ...], ...]:
        """See Dataset. The cameras follow from poses.txt. Raises DataError if it is missing or wrong."""
        earlier = self.scans_before(scan_id, count)
        here = self._world_from_points(scan_id) if earlier else None
        return tuple(
            tuple(
                replace(view, camera=_moved(view.camera, invert_rigid(self._world_from_points(one)) @ here))
                for view in self.views(one)
            )
            for one in earlier
        )

    def _scans_of(self, split: str) -> dict[str, list[str]]:
        """Sequence -> its scan ids, ascending."""
        if split not in self._splits:
            raise UnknownName(f"there is no split {split!r} (known: {', '.join(self._splits)})")
        return {sequence: self._scans_in(sequence, split) for sequence in sorted(self._splits[split])}

    def _scans_in(self, sequence: str, split: str) -> list[str]:
        folder = self._sequences / sequence / "velodyne"
        scan_ids = sorted(f"{sequence}/{path.stem}" for path in folder.glob("*.bin"))
        if not scan_ids:
            raise DataError(
                f"split {split!r} names sequence {sequence}, but {folder} holds no .bin file; mend `splits`"
            )
        return scan_ids

    def _path(self, scan_id: str, folder: str, suffix: str) -> Path:
        sequence, frame = scan_id.split("/")
        return self._sequences.joinpath(sequence, folder, frame + suffix)

    def _calibration_path(self, scan_id: str) -> Path:
        return self._sequences / scan_id.split("/")[0] / "calib.txt"

    def _poses_path(self, scan_id: str) -> Path:
        return self._sequences / scan_id.split("/")[0] / "poses.txt"

    def _calibration(self, scan_id: str) -> dict[str, np.ndarray]:
        sequence = scan_id.split("/")[0]
        if sequence not in self._calibrations:
            self._calibrations[sequence] = read_calibration(self._calibration_path(scan_id))
        return self._calibrations[sequence]

    def _world_from_points(self, scan_id: str) -> np.ndarray:
        """(4,4) float64: world_from_camera0, which is line NNNNNN of poses.txt, times `Tr`."""
        sequence, frame = scan_id.split("/")
        path = self._poses_path(scan_id)
        if sequence not in self._poses:
            self._poses[sequence] = read_poses(path)
        poses, lidar = self._poses[sequence], self._calibration(scan_id).get("Tr")
        if lidar is None:
            raise DataError(f'{self._calibration_path(scan_id)} has no line "Tr"; {OFFICIAL_CALIBRATION}')
        if not frame.isdecimal() or int(frame) >= len(poses):
            raise DataError(f"{path} has {len(poses)} poses and none for scan {frame}; copy it again")
        return poses[int(frame)] @ rigid(lidar[:, :3], lidar[:, 3])

    def _view(self, scan_id: str, name: str) -> View:
        image = FilePart(self._path(scan_id, name, ".png"))
        calibration_path = self._calibration_path(scan_id)
        number = name.removeprefix("image_")
        camera = camera_of(self._calibration(scan_id), number, image_size(image), calibration_path)
        require_central_centre(camera, image.path, f'"P{number}" of {calibration_path}')
        return View(f"{scan_id}/{name}", image, camera)


class SemanticKittiSubmission:
    """The `Submission` contract: sequences/SS/predictions/NNNNNN.label, a raw id (uint32) per point."""

    label_space = LABEL_SPACE
    absent: AbsentClasses = "zero"

    def file(self, split: str, scan_id: str) -> PurePosixPath:
        """See Submission: sequences/SS/predictions/NNNNNN.label."""
        sequence, frame = scan_id.split("/")
        return PurePosixPath("sequences", sequence, "predictions", f"{frame}.label")

    def encode(self, train_ids: np.ndarray) -> bytes:
        """See Submission: raw ids, little-endian uint32."""
        return LABEL_SPACE.raw_ids(train_ids).astype("<u4").tobytes()

    def decode(self, content: bytes, where: str) -> np.ndarray:
        """See Submission. As in evaluate_semantics.py, only the lower 16 bits count."""
        if len(content) % 4:
            raise DataError(
                f"{where} is cut off: {len(content)} bytes are not a multiple of 4; export it again"
            )
        return LABEL_SPACE.train_ids(np.frombuffer(content, "<u4") & 0xFFFF, where)

    def further_files(self, split: str) -> dict[PurePosixPath, bytes]:
        """See Submission: none."""
        return {}


def _read_points(path: Path) -> np.ndarray:
    """Read x, y, z, remission (N,4) float32: metres in the LiDAR frame, x forward, y left, z up."""
    content = read_bytes(path)
    if len(content) % 16:
        raise DataError(f"{path} is cut off: {len(content)} bytes are not a multiple of 16; copy it again")
    values = np.frombuffer(content, "<f4").reshape(-1, 4)
    if not len(values):
        raise DataError(f"{path} is empty; copy it again")
    bad = int(np.count_nonzero(~np.isfinite(values).all(axis=1)))
    if bad:
        raise DataError(
            f"{path} has {bad} of {len(values)} points with NaN or infinity; copy it again or mend it"
        )
    return values


def _read_labels(path: Path, count: int) -> np.ndarray:
    """Read train ids (N,) uint8. The upper 16 bits of the file's uint32 are the instance and are dropped."""
    content = read_bytes(path)
    if len(content) != 4 * count:
        raise DataError(
            f"{path} has {len(content)} bytes, its scan of {count} points needs {4 * count}; copy both again"
        )
    return LABEL_SPACE.train_ids(np.frombuffer(content, "<u4") & 0xFFFF, str(path))


def _moved(camera: Camera, earlier_from_here: np.ndarray) -> Camera:
    """The camera of an earlier scan, for points of this scan.

    earlier_from_here (4,4): from the frame of this scan's points to the frame of the earlier scan's points.
    """
    return replace(camera, cam_from_points=camera.cam_from_points @ earlier_from_here)
