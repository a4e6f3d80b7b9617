"""What both programs mean by a camera, a scan, an entity. Frozen, and checked once, where they are made.

Letters: N points, V views of a scan, E entities of an image, F features per point, D text dimension.
A record that fails its check raises DataError with the field, what it must be and what it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from lass3d_core.errors import DataError
from lass3d_core.labels import IGNORE

NONE = -1
"""Index of "no image" and "no entity"."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera. The points frame is the frame of the scan's coordinates.

    K (3,3) float64, pixels. cam_from_points (4,4) float64 rigid transform, metres; the camera frame looks
    along +z, x right, y down. size_hw: image height and width in pixels, to which K belongs.
    """

    K: np.ndarray
    cam_from_points: np.ndarray
    size_hw: tuple[int, int]

    def __post_init__(self) -> None:
        _check(self.K, "Camera.K", (3, 3), np.float64)
        _check(self.cam_from_points, "Camera.cam_from_points", (4, 4), np.float64)
        if min(self.size_hw) <= 0:
            raise DataError(f"Camera.size_hw must be positive, got {self.size_hw}")
        if self.K[0, 0] <= 0 or self.K[1, 1] <= 0:
            raise DataError(
                f"Camera.K has focal lengths {self.K[0, 0]:g}, {self.K[1, 1]:g}; both must be positive"
            )


@dataclass(frozen=True)
class FilePart:
    """The bytes of a file, or `size` of them from `start` on where the file is a container (.sens)."""

    path: Path
    start: int = 0
    size: int | None = None

    def __str__(self) -> str:
        where = "" if self.size is None else f" (bytes {self.start} to {self.start + self.size})"
        return f"{self.path}{where}"


@dataclass(frozen=True)
class DepthImage:
    """What a depth camera measured along its optical axis, units_per_m counts to the metre, 0 for nothing.

    camera: the depth camera's own, whose size and K need not be those of the colour image.
    codec: `image` (a 16-bit PNG), or little-endian uint16 row by row as in .sens: plain `raw_u16` or deflated
    `zlib_u16`.
    """

    part: FilePart
    camera: Camera
    codec: Literal["image", "zlib_u16", "raw_u16"] = "image"
    units_per_m: float = 1000.0


@dataclass(frozen=True)
class View:
    """One image of a scan. image_id is unique in the data set ("00/000012/image_2")."""

    image_id: str
    image: FilePart
    camera: Camera
    depth: DepthImage | None = None


@dataclass(frozen=True)
class Scan:
    """One point cloud with the views that saw it, in the raw order of the file.

    points (N,3) float32 metres. features (N,F) float32: remission, or rgb in [0,1].
    labels (N,) uint8 train ids with 255 = ignore, or None where the data set publishes none (test).
    """

    scan_id: str
    points: np.ndarray
    features: np.ndarray
    labels: np.ndarray | None
    views: tuple[View, ...]

    def __post_init__(self) -> None:
        count = len(self.points)
        where = f"scan {self.scan_id}: "
        _check(self.points, where + "points", (count, 3), np.float32)
        _check(self.features, where + "features", (count, self.features.shape[-1]), np.float32)
        if self.labels is not None:
            _check(self.labels, where + "labels", (count,), np.uint8)


@dataclass(frozen=True)
class RunLengthMask:
    """A binary mask in COCO's compressed run-length form (column-major), as `pycocotools` reads it."""

    size_hw: tuple[int, int]
    counts: str


@dataclass(frozen=True)
class Entity:
    """A named region of an image: GroundedSAM's phrase, score in [0,1], box (x1, y1, x2, y2) pixels, mask."""

    phrase: str
    score: float
    box_xyxy: tuple[float, float, float, float]
    mask: RunLengthMask


@dataclass(frozen=True)
class GroundedPhrase:
    """A noun phrase of a caption with the box (x1, y1, x2, y2) in pixels that it was grounded in."""

    phrase: str
    box_xyxy: tuple[float, float, float, float]


@dataclass(frozen=True)
class ImageCaption:
    """What a captioner says of one image: the sentence, its grounded noun phrases, its raw output."""

    text: str
    phrases: tuple[GroundedPhrase, ...]
    raw: str


@dataclass(frozen=True)
class TextRows:
    """Rows of several texts, concatenated. Text t owns rows[offsets[t]:offsets[t+1]], at least one.

    rows (R,D) float32: the text's token-level rows in order, up to and including its end-of-text row.
    pooled (T,D) float32: one row per text. offsets (T+1,) int64.
    """

    rows: np.ndarray
    offsets: np.ndarray
    pooled: np.ndarray

    def __post_init__(self) -> None:
        texts, dim = self.pooled.shape
        _check(self.pooled, "TextRows.pooled", (texts, dim), np.float32)
        _check(self.rows, "TextRows.rows", (len(self.rows), dim), np.float32)
        if (
            self.offsets.shape != (texts + 1,)
            or self.offsets[0] != 0
            or np.any(np.diff(self.offsets) < 1)
            or self.offsets[-1] != len(self.rows)
        ):
            raise DataError(
                "TextRows.offsets must start at 0, give every text a row and end at the number of rows"
            )


@dataclass(frozen=True)
class PointTextPairs:
    """Which texts each point of a scan is paired with, in the raw order of the scan.

    image (N,V) int16: slots into image_ids, best view first, NONE where no view sees the point.
    entity (N,) int16: slot into phrases, NONE where no mask covers the point's pixel.
    """

    image: np.ndarray
    entity: np.ndarray
    image_ids: tuple[str, ...]
    phrases: tuple[str, ...]

    def __post_init__(self) -> None:
        count = len(self.entity)
        _check(self.image, "PointTextPairs.image", (count, self.image.shape[-1]), np.int16)
        _check(self.entity, "PointTextPairs.entity", (count,), np.int16)
        _check_slots(self.image, len(self.image_ids), "PointTextPairs.image")
        _check_slots(self.entity, len(self.phrases), "PointTextPairs.entity")


@dataclass(frozen=True)
class PairedScan:
    """A scan as the trainer sees it: points, labels and text indices, no image. See Scan and PointTextPairs.

    features (N,F) float16 or float32.
    """

    scan_id: str
    points: np.ndarray
    features: np.ndarray
    labels: np.ndarray | None
    pairs: PointTextPairs

    def __post_init__(self) -> None:
        count = len(self.points)
        if len(self.features) != count or len(self.pairs.entity) != count:
            raise DataError(f"scan {self.scan_id}: points, features and pairs must be equally many")
        if self.labels is not None and len(self.labels) != count:
            raise DataError(f"scan {self.scan_id}: {len(self.labels)} labels for {count} points")


def labels_or_ignore(labels: np.ndarray | None, count: int) -> np.ndarray:
    """`labels`, or `count` times IGNORE (uint8) where there are none."""
    return labels if labels is not None else np.full(count, IGNORE, np.uint8)


def _check(array: np.ndarray, name: str, shape: tuple[int, ...], dtype: type) -> None:
    if array.shape != shape:
        raise DataError(f"{name} must have shape {shape}, got {array.shape}")
    if array.dtype != dtype:
        raise DataError(f"{name} must be {np.dtype(dtype)}, got {array.dtype}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int(np.count_nonzero(~np.isfinite(array)))
        raise DataError(f"{name} holds {bad} non-finite values (NaN or infinity)")


def _check_slots(slots: np.ndarray, count: int, name: str) -> None:
    if slots.size and (slots.min() < NONE or slots.max() >= count):
        raise DataError(f"{name} must lie in [-1, {count}), got [{slots.min()}, {slots.max()}]")
