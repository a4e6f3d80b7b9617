"""KITTI's calib.txt: how the cameras are mounted and project."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from lass3d_core.errors import DataError
from lass3d_core.files.text_lines import Line, at, numbers, text_lines
from lass3d_core.geometry.projection import is_rotation, rigid
from lass3d_core.records import Camera

OFFICIAL_CALIBRATION = "take calib.txt from data_odometry_calib.zip of the KITTI odometry page"

_KEY = re.compile(r"([^\s:]+)\s*:?\s*(.*)")  # KITTI's tracking benchmark leaves the colon out


class Calibration(Mapping[str, np.ndarray]):
    """The lines "key: 12 numbers" of a calib.txt: key -> (3,4) float64.

    A line is checked when it is used. So `calib_time:`, `corner_dist:`, `D_00:` and lines of another form may
    stand there. Looking up a key raises DataError if its line holds no 12 numbers or stands twice.
    """

    def __init__(self, path: Path, lines: Sequence[Line]) -> None:
        self._path = path
        self._lines: dict[str, list[tuple[Line, str]]] = {}
        for line in lines:
            if found := _KEY.fullmatch(line.text):
                self._lines.setdefault(found[1], []).append((line, found[2]))

    def __getitem__(self, key: str) -> np.ndarray:
        (line, text), *others = self._lines[key]
        if others:
            both = f"lines {line.number} and {others[0][0].number}"
            raise DataError(f'{self._path} has more than one line "{key}": {both}; delete the wrong one')
        values = numbers(text.split(), at(self._path, line), 12, "copy the file again", f'"{key}"')
        return values.reshape(3, 4)

    def __contains__(self, key: object) -> bool:
        return key in self._lines

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)


def read_calibration(path: Path) -> Calibration:
    """Read a calib.txt. Raises DataError, also for the form of KITTI's object benchmark."""
    found = Calibration(path, text_lines(path, "restore it or mend `root` and `splits` in the manifest"))
    if "R0_rect" in found:
        raise DataError(f'{path} is of KITTI\'s object benchmark ("R0_rect"); {OFFICIAL_CALIBRATION}')
    return found


def camera_of(
    matrices: Mapping[str, np.ndarray], number: str, size_hw: tuple[int, int], path: Path
) -> Camera:
    """The camera of image_<number>. Raises DataError.

    P = K [I|t] projects from the rectified camera 0, and `Tr` transforms from the LiDAR to camera 0.
    So cam_from_points = [I | K^-1 P[:,3]] Tr: P already contains the offset from camera 0.
    A line `Tr_<number>` transforms to the camera itself, with P = K [I|0]. It is for cameras that look in
    another direction than camera 0.
    """
    P, own = f"P{number}", f"Tr_{number}"
    projection = matrices.get(P)
    transform = matrices.get(own if own in matrices else "Tr")
    if projection is None:
        raise DataError(f'{path} has no line "{P}" for image_{number}; mend `views` or the file')
    if transform is None:
        raise DataError(f'{path} has no line "Tr"; {OFFICIAL_CALIBRATION}')
    if own in matrices and projection[:, 3].any():
        raise DataError(
            f'{path}: "{own}" transforms to image_{number} itself, but the last column of "{P}" holds its '
            "offset again; set that column to 0, or name the line `Tr` if it transforms to camera 0"
        )
    rotation, K = transform[:, :3], projection[:, :3].copy()
    if not is_rotation(rotation):
        raise DataError(
            f'{path}: "{own if own in matrices else "Tr"}" holds no rotation matrix; copy it again'
        )
    if not np.array_equal(K[2], (0, 0, 1)) or K[0, 0] <= 0 or K[1, 1] <= 0:
        raise DataError(f'{path}: "{P}" is not the projection of a rectified camera; copy the file again')
    offset = rigid(np.eye(3), np.linalg.solve(K, projection[:, 3]))
    return Camera(K, offset @ rigid(rotation, transform[:, 3]), size_hw)


def require_central_centre(camera: Camera, image: Path, projection: str) -> None:
    """Raise DataError if K cannot belong to an image of this size, as after a resize."""
    # The principal point must lie in the middle half of the image in both directions. In KITTI, KITTI-360,
    # PandaSet and nuScenes it lies between 0.44 and 0.64 of the size. An image of half the size or less
    # leaves this range. The audit finds smaller changes.
    height, width = camera.size_hw
    across, down = camera.K[0, 2] / width, camera.K[1, 2] / height
    if not (0.25 <= across <= 0.75 and 0.25 <= down <= 0.75):
        raise DataError(
            f"{image} is {height} x {width} (height x width), and the centre of {projection} is far from its "
            "middle: restore the images, or scale the projection as they were scaled"
        )
