"""The records that both programs share: cameras, views, scans, entities, texts. Frozen, checked when made.

Letters: N points, V views of a scan, E entities of an image, F features per point, D text dimension.
A failed check raises DataError with the field, what it must be and what it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from lass3d_core.errors import DataError
from lass3d_core.labels import IGNORE

NONE = -1  # the index that means "no image" or "no entity"


@dataclass(frozen=True)
class Distortion:
    """How a lens bends the image, by OpenCV's models; see geometry/distortion.py.

    `opencv`: k1, k2, p1, p2 and, if given, k3, or k3 to k6. `fisheye`: k1 to k4.
    """

    model: Literal["opencv", "fisheye"]
    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        counts = {"opencv": (4, 5, 8), "fisheye": (4,)}[self.model]
        if len(self.coefficients) not in counts:
            wanted = " or ".join(map(str, counts))
            raise DataError(f"distortion {self.model} needs {wanted} numbers, got {len(self.coefficients)}")


@dataclass(frozen=True)
class Camera:
    """A pinhole camera, with a lens or without.

    K (3,3) float64: intrinsics, pixels.
    cam_from_points (4,4) float64: rigid transform, metres, from the frame of the scan's points to the camera
        frame, in which z points forward, x right and y down.
    size_hw: height and width, in pixels, of the images to which K belongs.
    distortion: None if the images are undistorted.
    """

    K: np.ndarray
    cam_from_points: np.ndarray
    size_hw: tuple[int, int]
    distortion: Distortion | None = None

    def __post_init__(self) -> None:
        check_array(self.K, "Camera.K", (3, 3), np.float64)
        check_array(self.cam_from_points, "Camera.cam_from_points", (4, 4), np.float64)
        if min(self.size_hw) <= 0:
            raise DataError(f"Camera.size_hw must be positive, got {self.size_hw}")
        if self.K[0, 0] <= 0 or self.K[1, 1] <= 0:
            raise DataError(f"Camera.K: focal lengths {self.K[0, 0]:g}, {self.K[1, 1]:g} must be positive")


@dataclass(frozen=True)
class FilePart:
    """The bytes of a file, or, if the file is a container (.sens), `size` bytes from `start` on."""

    path: Path
    start: int = 0
    size: int | None = None

    def __str__(self) -> str:
        where = "" if self.size is None else f" (bytes {self.start} to {self.start + self.size})"
        return f"{self.path}{where}"


@dataclass(frozen=True)
class DepthImage:
    """A stored depth image: distances along the optical axis, 0 for no measurement.

    camera: the depth camera, whose size and K may differ from the colour camera's.
    codec: `image` is a 16-bit PNG. `raw_u16` and `zlib_u16` are little-endian uint16 row by row, plain or
        deflated, as in .sens.
    units_per_m: counts per metre.
    """

    part: FilePart
    camera: Camera
    codec: Literal["image", "zlib_u16", "raw_u16"] = "image"
    units_per_m: float = 1000.0


@dataclass(frozen=True)
class ImageFile:
    """An image before anyone has looked at it: its id, unique in the data set, and where it should lie."""

    image_id: str
    image: FilePart


@dataclass(frozen=True)
class View:
    """One image of a scan. image_id ("00/000012/image_2") is unique in the data set."""

    image_id: str
    image: FilePart
    camera: Camera
    depth: DepthImage | None = None


@dataclass(frozen=True)
class Scan:
    """One point cloud and its views. Points are in the order of the file."""

    scan_id: str
    points: np.ndarray  # (N,3) float32, metres
    features: np.ndarray  # (N,F) float32: remission, or r, g, b in [0,1]
    labels: np.ndarray | None  # (N,) uint8: train ids, 255 = ignore; None if none are published (test)
    views: tuple[View, ...]

    def __post_init__(self) -> None:
        count = len(self.points)
        where = f"scan {self.scan_id}: "
        check_array(self.points, where + "points", (count, 3), np.float32)
        check_array(self.features, where + "features", (count, self.features.shape[-1]), np.float32)
        if self.labels is not None:
            check_array(self.labels, where + "labels", (count,), np.uint8)


@dataclass(frozen=True)
class RunLengthMask:
    """A binary mask in COCO's compressed run-length form (column by column); `pycocotools` reads it."""

    size_hw: tuple[int, int]
    counts: str


Look = Literal["whole", "mirrored", "tiled"]
"""How a detector was shown an image: as it is, left and right exchanged, or cut into overlapping tiles."""


@dataclass(frozen=True)
class Entity:
    """A named region of an image, from GroundedSAM. score: in [0,1]. box_xyxy: x1, y1, x2, y2 in pixels.

    look: how the image was shown when the region was found. Box and mask are those of the whole image.
    """

    phrase: str
    score: float
    box_xyxy: tuple[float, float, float, float]
    mask: RunLengthMask
    look: Look = "whole"


@dataclass(frozen=True)
class GroundedPhrase:
    """A noun phrase of a caption and the box (x1, y1, x2, y2), in pixels, that it refers to."""

    phrase: str
    box_xyxy: tuple[float, float, float, float]


@dataclass(frozen=True)
class ImageCaption:
    """A captioner's answer for one image: the sentence, its grounded noun phrases, the raw output."""

    text: str
    phrases: tuple[GroundedPhrase, ...]
    raw: str


@dataclass(frozen=True)
class TextRows:
    """Embeddings of T texts, concatenated."""

    rows: np.ndarray  # (R,D) float32: token-level rows of each text, up to and including the end-of-text row
    offsets: np.ndarray  # (T+1,) int64: text t owns rows[offsets[t]:offsets[t+1]], at least one
    pooled: np.ndarray  # (T,D) float32: one row per text

    def __post_init__(self) -> None:
        texts, dim = self.pooled.shape
        check_array(self.pooled, "TextRows.pooled", (texts, dim), np.float32)
        check_array(self.rows, "TextRows.rows", (len(self.rows), dim), np.float32)
        check_offsets(self.offsets, "TextRows.offsets", texts, len(self.rows))


@dataclass(frozen=True)
class PointVotes:
    """The vote of several views on the phrase of each point. A point keeps its K strongest phrases.

    phrase (N,K) int16: indices into the scan's phrases, the strongest first; NONE where there are fewer.
    share (N,K) uint8: of all votes on the point, in 255ths; not more than all of them together.
    score (N,) uint8: mean score of the masks that voted for the strongest phrase, in 255ths.
    views (N,) uint8: images that voted; 255 for 255 or more.
    """

    phrase: np.ndarray
    share: np.ndarray
    score: np.ndarray
    views: np.ndarray

    def __post_init__(self) -> None:
        count, kept = self.phrase.shape
        check_array(self.phrase, "PointVotes.phrase", (count, kept), np.int16)
        check_array(self.share, "PointVotes.share", (count, kept), np.uint8)
        check_array(self.score, "PointVotes.score", (count,), np.uint8)
        check_array(self.views, "PointVotes.views", (count,), np.uint8)
        if np.any(self.share[self.phrase == NONE]):
            raise DataError("PointVotes.share must be 0 where there is no phrase")

    @property
    def margin(self) -> np.ndarray:
        """How far the strongest phrase leads the second, (N,) float32 in [0,1]: the difference of shares."""
        second = self.share[:, 1] if self.share.shape[1] > 1 else np.uint8(0)
        return (self.share[:, 0].astype(np.float32) - second) / np.float32(WHOLE_SHARE)


WHOLE_SHARE = 255
"""A share, or a score, of 1 in the bytes of PointVotes."""


@dataclass(frozen=True)
class PointTextPairs:
    """The texts that each point of a scan is paired with. Points are in the order of the scan."""

    image: np.ndarray  # (N,V) int16: indices into image_ids, the best view first; NONE if no view sees it
    entity: np.ndarray  # (N,) int16: index into phrases; NONE if no mask covers the point's pixel
    image_ids: tuple[str, ...]
    phrases: tuple[str, ...]
    votes: PointVotes | None = None  # whose strongest phrase is `entity`; None if a single view named it

    def __post_init__(self) -> None:
        count = len(self.entity)
        check_array(self.image, "PointTextPairs.image", (count, self.image.shape[-1]), np.int16)
        check_array(self.entity, "PointTextPairs.entity", (count,), np.int16)
        _check_slots(self.image, len(self.image_ids), "PointTextPairs.image")
        _check_slots(self.entity, len(self.phrases), "PointTextPairs.entity")
        if self.votes is not None:
            _check_slots(self.votes.phrase, len(self.phrases), "PointVotes.phrase")
            if not np.array_equal(self.votes.phrase[:, 0], self.entity):
                raise DataError("PointVotes.phrase must begin with PointTextPairs.entity")


@dataclass(frozen=True)
class PairedScan:
    """A scan for the trainer: points, features, labels and text indices, no image.

    The fields are as in Scan and PointTextPairs, but features (N,F) are float16 or float32.
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
    """`labels`; if they are None, an array (count,) uint8 of IGNORE."""
    return labels if labels is not None else np.full(count, IGNORE, np.uint8)


def check_array(array: np.ndarray, name: str, shape: tuple[int, ...], dtype: type) -> None:
    """Raise DataError if `array` has another shape or dtype, or holds NaN or infinity."""
    if array.shape != shape or array.dtype != dtype:
        raise DataError(f"{name} must be {np.dtype(dtype)} {shape}, got {array.dtype} {array.shape}")
    bad = np.count_nonzero(~np.isfinite(array)) if array.dtype.kind == "f" else 0
    if bad:
        raise DataError(f"{name} holds {bad} non-finite values (NaN or infinity)")


def check_offsets(offsets: np.ndarray, name: str, texts: int, rows: int) -> None:
    """Raise DataError if `offsets` (texts+1,) int64 do not divide `rows` rows among the texts."""
    check_array(offsets, name, (texts + 1,), np.int64)
    if offsets[0] != 0 or offsets[-1] != rows or np.any(np.diff(offsets) < 1):
        raise DataError(f"{name} must start at 0, give every text a row and end at the number of rows")


def _check_slots(slots: np.ndarray, count: int, name: str) -> None:
    if slots.size and (slots.min() < NONE or slots.max() >= count):
        raise DataError(f"{name} must lie in [-1, {count}), got [{slots.min()}, {slots.max()}]")
