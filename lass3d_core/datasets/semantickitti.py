"""SemanticKITTI and every data set in its layout.

`root/sequences/SS/` holds velodyne/NNNNNN.bin, labels/NNNNNN.label (not for the test sequences),
image_2/NNNNNN.png and calib.txt. A scan id is "SS/NNNNNN", an image id "SS/NNNNNN/image_2".
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import numpy as np

from lass3d_core.datasets import Block, ScanFiles, cut_blocks, names_of
from lass3d_core.errors import DataError, UnknownName
from lass3d_core.geometry import rigid
from lass3d_core.images import image_size
from lass3d_core.labels import IGNORE, AbsentClasses, LabelSpace
from lass3d_core.manifest import DatasetSpec
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
"""Name, raw ids (the first is what a submission writes), colour (r, g, b), as in semantic-kitti.yaml."""

_IGNORED_RAW_IDS = (0, 1, 52, 99)
"""unlabeled, outlier, other-structure, other-object."""

LABEL_SPACE = LabelSpace(
    names=tuple(name for name, _, _ in _CLASSES),
    train_id_of_raw=dict.fromkeys(_IGNORED_RAW_IDS, IGNORE)
    | {raw: train_id for train_id, (_, raw_ids, _) in enumerate(_CLASSES) for raw in raw_ids},
    raw_of_train_id=tuple(raw_ids[0] for _, raw_ids, _ in _CLASSES),
    colours=tuple(colour for _, _, colour in _CLASSES),
)


_OFFICIAL_CALIBRATION = "take calib.txt from data_odometry_calib.zip of the KITTI odometry page"


class SemanticKitti:
    """The `Dataset` contract for the SemanticKITTI layout. Features are the remission alone."""

    label_space = LABEL_SPACE
    feature_names: tuple[str, ...] = ("remission",)

    def __init__(self, spec: DatasetSpec) -> None:
        self._sequences = spec.root / "sequences"
        self._splits = names_of(spec.splits)
        self._view_names = spec.views or ("image_2",)
        for name in self._view_names:
            if not re.fullmatch(r"image_\d+", name):
                raise DataError(f"views: {name!r} is no image folder of this layout, such as image_2")
        self._calibrations: dict[str, dict[str, np.ndarray]] = {}

    def scan_ids(self, split: str) -> tuple[str, ...]:
        """See Dataset: the sequences' scans, in the order of the sequences' names."""
        return tuple(scan_id for scan_ids in self._scans_of(split).values() for scan_id in scan_ids)

    def blocks(self, split: str, size: int) -> list[Block]:
        """See Dataset: no block holds scans of two sequences."""
        return cut_blocks(split, self._scans_of(split), size)

    def read_scan(self, scan_id: str) -> Scan:
        """See Dataset. features (N,1): remission, 0 to 1. Raises DataError."""
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
        """See Dataset: the calibration of its sequence is among the files of a scan."""
        label_path = self._path(scan_id, "labels", ".label")
        return ScanFiles(
            points=(
                FilePart(self._path(scan_id, "velodyne", ".bin")),
                *((FilePart(label_path),) if label_path.exists() else ()),
                FilePart(self._calibration_path(scan_id)),
            ),
            images=tuple(FilePart(self._path(scan_id, name, ".png")) for name in self._view_names),
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

    def _view(self, scan_id: str, name: str) -> View:
        image = FilePart(self._path(scan_id, name, ".png"))
        calibration_path = self._calibration_path(scan_id)
        sequence = scan_id.split("/")[0]
        if sequence not in self._calibrations:
            self._calibrations[sequence] = _read_calibration(calibration_path)
        number = name.removeprefix("image_")
        camera = _camera(self._calibrations[sequence], number, image_size(image), calibration_path)
        _require_central_centre(camera, image.path, f'"P{number}" of {calibration_path}')
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
        """As evaluate_semantics.py: the lower 16 bits are the class; the instance above them is dropped."""
        if len(content) % 4:
            raise DataError(f"{where} is cut off: {len(content)} bytes are no multiple of 4; export it again")
        return LABEL_SPACE.train_ids(np.frombuffer(content, "<u4") & 0xFFFF, where)

    def further_files(self, split: str) -> dict[PurePosixPath, bytes]:
        """See Submission: none."""
        return {}


def _read_points(path: Path) -> np.ndarray:
    """x, y, z, remission (N,4) float32: metres in the LiDAR frame, x forward, y left, z up."""
    content = _read(path)
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
    """Train ids (N,) uint8; the upper 16 bits of the file's uint32 are the instance and are dropped."""
    content = _read(path)
    if len(content) != 4 * count:
        raise DataError(
            f"{path} has {len(content)} bytes, its scan of {count} points needs {4 * count}; copy both again"
        )
    return LABEL_SPACE.train_ids(np.frombuffer(content, "<u4") & 0xFFFF, str(path))


def _read_calibration(path: Path) -> dict[str, np.ndarray]:
    """Key -> (3,4) float64 of every line "key: 12 numbers" of a calib.txt."""
    try:
        lines = _read(path).decode().splitlines()
        texts = {key.strip(): text for key, text in (line.split(":", 1) for line in lines if line.strip())}
        if "R0_rect" in texts:
            raise DataError(
                f'{path} has a line "R0_rect": it is of KITTI\'s object benchmark; {_OFFICIAL_CALIBRATION}'
            )
        matrices = {key: np.array(text.split(), np.float64).reshape(3, 4) for key, text in texts.items()}
    except ValueError:
        raise DataError(f'{path} must hold lines of the form "P2: 12 numbers"; copy it again') from None
    for key, matrix in matrices.items():
        if not np.isfinite(matrix).all():
            raise DataError(f'{path}: the line "{key}" holds NaN or infinity; copy it again')
    return matrices


def _camera(matrices: dict[str, np.ndarray], number: str, size_hw: tuple[int, int], path: Path) -> Camera:
    """The camera of image_<number>: P = K [I|t] projects from the rectified camera 0, `Tr` leads there from
    the LiDAR.

    So cam_from_points = [I | K^-1 P[:,3]] Tr: the offset from camera 0 is in P already and is not added
    again. A line `Tr_<number>` leads to that camera itself (with P = K [I|0]): cameras that look elsewhere
    than camera 0.
    """
    P, own = f"P{number}", f"Tr_{number}"
    projection, transform = matrices.get(P), matrices.get(own, matrices.get("Tr"))
    if projection is None:
        raise DataError(
            f'{path} has no line "{P}" for image_{number}; mend `views` in the manifest or the file'
        )
    if transform is None:
        raise DataError(f'{path} has no line "Tr"; {_OFFICIAL_CALIBRATION}')
    if own in matrices and projection[:, 3].any():
        raise DataError(
            f'{path}: "{own}" leads to image_{number} itself, and the last column of "{P}" holds its offset '
            "once more; set that column to 0, or name the line `Tr` if it leads to camera 0"
        )
    rotation, K = transform[:, :3], projection[:, :3].copy()
    if abs(rotation @ rotation.T - np.eye(3)).max() > 0.01 or np.linalg.det(rotation) < 0:
        raise DataError(
            f'{path}: the rotation in "{own if own in matrices else "Tr"}" is not one; copy the file again'
        )
    if not np.array_equal(K[2], (0, 0, 1)) or K[0, 0] <= 0 or K[1, 1] <= 0:
        raise DataError(f'{path}: the line "{P}" is no projection of a rectified camera; copy the file again')
    offset = rigid(np.eye(3), np.linalg.solve(K, projection[:, 3]))
    return Camera(K, offset @ rigid(rotation, transform[:, 3]), size_hw)


def _require_central_centre(camera: Camera, image: Path, projection: str) -> None:
    """Raises DataError where K cannot belong to an image of this size, as after a resize.

    Decision: the principal point must lie in the middle half of the image, both ways. Those of KITTI,
    KITTI-360, PandaSet and nuScenes lie between 0.44 and 0.64 of its size; an image of half the size, or
    less, leaves the range, and what stays within is for the audit to tell.
    """
    height, width = camera.size_hw
    across, down = camera.K[0, 2] / width, camera.K[1, 2] / height
    if not (0.25 <= across <= 0.75 and 0.25 <= down <= 0.75):
        raise DataError(
            f"{image} is {height} x {width} (height x width), and the centre of {projection} is far from its "
            "middle: restore the images, or scale the projection as they were scaled"
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"{path} does not exist; restore it or mend `root` and `splits` in the manifest"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
