"""calibration.json of the plain layout: how the cameras of a sequence are mounted and project.

{"cameras": {"front": {"K": [[fx, 0, cx], [0, fy, cy], [0, 0, 1]],
                       "cam_from_lidar": [[r, r, r, x], [r, r, r, y], [r, r, r, z], [0, 0, 0, 1]],
                       "distortion": [k1, k2, p1, p2, k3], "model": "opencv", "size_wh": [1920, 1080]}}}
The last three keys may be absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from lass3d_core.errors import DataError
from lass3d_core.files.json_files import read_json_of_user
from lass3d_core.geometry.projection import is_rotation, scale_intrinsics
from lass3d_core.records import Camera, Distortion
from lass3d_core.settings import SETTINGS, WrongSettings, nearest, read

CENTRAL = (0.2, 0.8)  # where the principal point must lie, as a share of the image's width and height

_Row3 = Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]
_Row4 = Annotated[tuple[float, ...], Field(min_length=4, max_length=4)]


@dataclass(frozen=True, config=SETTINGS)
class CameraEntry:
    """One camera of the file.

    K: pixels. cam_from_lidar: a rigid transform, metres, to the camera frame: x right, y down, z forward.
    distortion: see records.Distortion; none: the images are undistorted. size_wh: of the images to which K
    belongs; images of another size and the same shape get K scaled.
    """

    K: Annotated[tuple[_Row3, ...], Field(min_length=3, max_length=3)]
    cam_from_lidar: Annotated[tuple[_Row4, ...], Field(min_length=4, max_length=4)]
    distortion: tuple[float, ...] = ()
    model: Literal["opencv", "fisheye"] = "opencv"
    size_wh: Annotated[tuple[int, ...], Field(min_length=2, max_length=2)] | None = None

    def __post_init__(self) -> None:
        K, rotation = np.array(self.K), np.array(self.cam_from_lidar)[:3, :3]
        if not np.array_equal(K[2], (0, 0, 1)) or K[1, 0] != 0 or K[0, 0] <= 0 or K[1, 1] <= 0:
            raise ValueError("`K` must be [[fx, s, cx], [0, fy, cy], [0, 0, 1]] with fx, fy > 0, in pixels")
        if self.cam_from_lidar[3] != (0, 0, 0, 1) or not is_rotation(rotation):
            raise ValueError("`cam_from_lidar` must be a rotation, a translation in metres, and 0, 0, 0, 1")
        try:
            _ = Distortion(self.model, self.distortion) if self.distortion else None
        except DataError as error:
            raise ValueError(str(error)) from None


@dataclass(frozen=True, config=SETTINGS)
class Calibration:
    """The whole file: camera, which is the name of its folder of images -> how it projects."""

    cameras: Mapping[str, CameraEntry]


def read_calibration(path: Path) -> Calibration:
    """Read a calibration.json. Raises DataError with every problem on one line."""
    remedy = "write it (docs/your-data.md), or set `views: []` to use no image"
    try:
        return read(Calibration, read_json_of_user(path, remedy))
    except WrongSettings as error:
        raise DataError(f"{path}: {error}; mend the file") from None


def camera_of(
    calibration: Calibration, name: str, size_hw: tuple[int, int], path: Path, image: Path
) -> Camera:
    """The camera `name` for an image of size_hw. path: of the calibration. Raises DataError."""
    entry = calibration.cameras.get(name)
    if entry is None:
        known = ", ".join(calibration.cameras) or "none"
        raise DataError(
            f"{path} has no camera {name!r} (it has {known}); add it, or list in `views` the cameras to use"
            f"{nearest(name, calibration.cameras)}"
        )
    K = np.array(entry.K, np.float64)
    if entry.size_wh is not None:
        K = _fitted(K, (entry.size_wh[1], entry.size_wh[0]), size_hw, image, path)
    across, down = K[0, 2] / size_hw[1], K[1, 2] / size_hw[0]
    if not (CENTRAL[0] <= across <= CENTRAL[1] and CENTRAL[0] <= down <= CENTRAL[1]):
        raise DataError(
            f"{image} is {size_hw[1]} x {size_hw[0]} pixels, and the principal point of {name!r} in {path} "
            f"is ({K[0, 2]:g}, {K[1, 2]:g}): give `size_wh` of the images that K was made for, or mend K"
        )
    distortion = Distortion(entry.model, entry.distortion) if entry.distortion else None
    return Camera(K, np.array(entry.cam_from_lidar, np.float64), size_hw, distortion)


def _fitted(
    K: np.ndarray, made_for: tuple[int, int], size_hw: tuple[int, int], image: Path, path: Path
) -> np.ndarray:
    """K for an image of size_hw. Raises DataError if the image is no scaled copy of those that K is for."""
    down, across = size_hw[0] / made_for[0], size_hw[1] / made_for[1]
    if abs(down / across - 1) > 0.02:
        raise DataError(
            f"{image} is {size_hw[1]} x {size_hw[0]} pixels, {path} says {made_for[1]} x {made_for[0]}: it "
            "was cropped; mend `size_wh` and K"
        )
    return scale_intrinsics(K, made_for, size_hw)
