"""RGB-D sequences, independent of the file format: cameras, frames with poses, and their views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lass3d_core.errors import DataError
from lass3d_core.files.images import image_size
from lass3d_core.geometry.projection import is_rotation, scale_intrinsics
from lass3d_core.records import Camera, DepthImage, FilePart, View

# If the principal point is farther from the middle than this share, K belongs to another image size.
FARTHEST_CENTRE = 0.25
# A resize from 1296 x 968 to 640 x 480 changes the aspect ratio by 0.4 %; a crop changes it by more.
ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True)
class RgbdCamera:
    """The colour or the depth camera of the device."""

    K: np.ndarray  # (3,3) float64, pixels
    base_from_camera: np.ndarray  # (4,4) float64 rigid, metres; the poses are poses of the base
    size_hw: tuple[int, int] | None  # image size for which K was made; None if no file says it
    where: str  # the file of K, for messages


@dataclass(frozen=True)
class RgbdFrame:
    """One frame of the device."""

    number: int
    world_from_base: np.ndarray  # (4,4) float64 rigid, metres
    pose_part: FilePart  # that holds the pose
    colour: FilePart
    depth: FilePart | None


@dataclass(frozen=True)
class RgbdSequence:
    """The frames of a scene that have a pose, in ascending order."""

    colour: RgbdCamera
    depth: RgbdCamera | None
    frames: tuple[RgbdFrame, ...]
    skipped: int  # number of frames without a pose: tracking was lost
    calibration: tuple[FilePart, ...]  # from which the cameras are read
    depth_codec: Literal["image", "zlib_u16", "raw_u16"] = "image"  # see DepthImage
    units_per_m: float = 1000.0


def view_of(sequence: RgbdSequence, frame: RgbdFrame, image_id: str) -> View:
    """The frame as a view. Raises DataError if an image is missing or K belongs to another image size."""
    depth = None
    if frame.depth is not None and sequence.depth is not None:
        camera = _camera(sequence.depth, frame, frame.depth)
        depth = DepthImage(frame.depth, camera, sequence.depth_codec, sequence.units_per_m)
    return View(image_id, frame.colour, _camera(sequence.colour, frame, frame.colour), depth)


def fitted_intrinsics(camera: RgbdCamera, size_hw: tuple[int, int], image: FilePart) -> np.ndarray:
    """K (3,3) for `image` of size size_hw. Raises DataError if K belongs to another size."""
    # Some people resize the images and leave K, others scale K too. So K is tried as it is, and scaled from
    # the size that the files declare. The one whose principal point is nearer to the middle is right, because
    # lenses are centred. If neither is near the middle, the calibration belongs to other images.
    candidates = [camera.K]
    if camera.size_hw is not None and _same_aspect(camera.size_hw, size_hw):
        candidates.insert(0, scale_intrinsics(camera.K, camera.size_hw, size_hw))
    best = min(candidates, key=lambda K: _off_centre(K, size_hw))
    if _off_centre(best, size_hw) > FARTHEST_CENTRE:
        height, width = size_hw
        raise DataError(
            f"{image} is {width} x {height}, but the principal point of {camera.where} is "
            f"({camera.K[0, 2]:g}, {camera.K[1, 2]:g}): scale the intrinsics as the images were resized, or "
            "restore the scene's own .txt file, which says their first size"
        )
    return best


def checked_camera(
    intrinsic: np.ndarray, extrinsic: np.ndarray, size_hw: tuple[int, int] | None, where: str
) -> RgbdCamera:
    """A camera from the matrices (4,4) in the files. Raises DataError if they are not a camera's."""
    K = intrinsic[:3, :3].astype(np.float64)
    if not np.isfinite(K).all() or K[0, 0] <= 0 or K[1, 1] <= 0 or not np.array_equal(K[2], (0, 0, 1)):
        raise DataError(f"{where} holds no intrinsics of a pinhole camera; copy it again")
    if not _is_rigid(extrinsic):
        raise DataError(f"{where}: the extrinsics beside it are not a rigid transform; copy them again")
    return RgbdCamera(K, extrinsic.astype(np.float64), size_hw, where)


def usable_pose(matrix: np.ndarray, where: str) -> bool:
    """Whether the pose (4,4) is finite; a lost frame has -inf. Raises DataError if it is not rigid."""
    if not np.isfinite(matrix).all():
        return False
    if not _is_rigid(matrix):
        raise DataError(f"{where}: the pose is not a rigid transform (camera to world); copy it again")
    return True


def _camera(camera: RgbdCamera, frame: RgbdFrame, image: FilePart) -> Camera:
    """The camera of one image in the world frame."""
    # A container declares the size of its images; a file has it in its header.
    declared = camera.size_hw if image.size is not None else None
    size_hw = declared or image_size(image)
    camera_from_world = np.linalg.inv(frame.world_from_base @ camera.base_from_camera)
    return Camera(fitted_intrinsics(camera, size_hw, image), camera_from_world, size_hw)


def _off_centre(K: np.ndarray, size_hw: tuple[int, int]) -> float:
    return float(max(abs(K[0, 2] / size_hw[1] - 0.5), abs(K[1, 2] / size_hw[0] - 0.5)))


def _same_aspect(one_hw: tuple[int, int], other_hw: tuple[int, int]) -> bool:
    ratio = (one_hw[1] * other_hw[0]) / (one_hw[0] * other_hw[1])
    return abs(ratio - 1) <= ASPECT_TOLERANCE


def _is_rigid(matrix: np.ndarray) -> bool:
    if not np.isfinite(matrix).all() or abs(matrix[3] - (0, 0, 0, 1)).max() > 1e-3:
        return False
    return is_rotation(matrix[:3, :3].astype(np.float64))
