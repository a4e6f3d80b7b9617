"""ScanNet's `.sens` container, version 4: the colour images, depth images and poses of a scene.

Only headers are read; images are named as parts of the file. All numbers are little-endian. A matrix is 16
float32, row by row.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import numpy as np

from lass3d_core.datasets.scannet.rgbd import RgbdFrame, RgbdSequence, checked_camera, usable_pose
from lass3d_core.errors import DataError, reading
from lass3d_core.records import FilePart

VERSION = 4

_START = struct.Struct("<IQ")  # version, length of the sensor's name
_MATRICES = struct.Struct("<64f")  # colour intrinsics, extrinsics; depth intrinsics, extrinsics
_FORMAT = struct.Struct("<2i4IfQ")  # compressions; widths and heights; depth units per metre; frames
_FRAME = struct.Struct("<16f4Q")  # pose; two time stamps; bytes of the colour and of the depth image

_COLOUR = {1: "png", 2: "jpeg"}
_DEPTH: dict[int, Literal["raw_u16", "zlib_u16"]] = {0: "raw_u16", 1: "zlib_u16"}
_REFUSED_COLOUR = {-1: "unknown", 0: "raw"}
_REFUSED_DEPTH = {-1: "unknown", 2: "occi_ushort"}

_LONGEST_NAME = 1 << 16
_LARGEST_SIDE = 1 << 15


class _Header(NamedTuple):
    matrices: np.ndarray
    colour_hw: tuple[int, int]
    depth_hw: tuple[int, int]
    depth_codec: Literal["raw_u16", "zlib_u16"]
    units_per_m: float
    frames: int
    end: int


def read_sens(path: Path, stride: int = 1) -> RgbdSequence:
    """Read the cameras and every stride-th frame; no image is read.

    Raw colour frames and the depth codec occi are refused, because no scene of ScanNet has them.
    Raises DataError if the file is missing, of another version, damaged or cut off.
    """
    with reading(path), path.open("rb", buffering=0) as file:
        header = _read_header(file, path)
        frames, skipped = _read_frames(file, path, path.stat().st_size, header, stride)
    colour, colour_to_base, depth, depth_to_base = header.matrices
    return RgbdSequence(
        colour=checked_camera(colour, colour_to_base, header.colour_hw, f"the colour intrinsics of {path}"),
        depth=checked_camera(depth, depth_to_base, header.depth_hw, f"the depth intrinsics of {path}"),
        frames=frames,
        skipped=skipped,
        calibration=(FilePart(path, 0, header.end),),
        depth_codec=header.depth_codec,
        units_per_m=header.units_per_m,
    )


def _read_header(file: BinaryIO, path: Path) -> _Header:
    version, name_length = _unpack(_START, file, path, "its header")
    if version != VERSION:
        raise DataError(f"{path} is not a .sens file of version {VERSION} (it says {version}); copy it again")
    if name_length > _LONGEST_NAME:
        raise DataError(f"{path} is damaged: its sensor's name has {name_length} letters; copy it again")
    file.seek(name_length, 1)
    matrices = np.array(_unpack(_MATRICES, file, path, "its header"), np.float32).reshape(4, 4, 4)
    colour_kind, depth_kind, *sides, units_per_m, frames = _unpack(_FORMAT, file, path, "its header")
    _require_known(colour_kind, _COLOUR, _REFUSED_COLOUR, f"{path}: the colour frames")
    _require_known(depth_kind, _DEPTH, _REFUSED_DEPTH, f"{path}: the depth frames")
    if not all(0 < side <= _LARGEST_SIDE for side in sides):
        shown = "{} x {} and {} x {}".format(*sides)
        raise DataError(f"{path} is damaged: its images are {shown} pixels; copy it again")
    if not 1 <= units_per_m <= 1e6:
        raise DataError(f"{path} is damaged: its depth shift is {units_per_m:g}; copy it again")
    colour_hw, depth_hw = (sides[1], sides[0]), (sides[3], sides[2])
    return _Header(matrices, colour_hw, depth_hw, _DEPTH[depth_kind], units_per_m, frames, file.tell())


def _read_frames(
    file: BinaryIO, path: Path, size: int, header: _Header, stride: int
) -> tuple[tuple[RgbdFrame, ...], int]:
    """Every stride-th frame if its pose is finite, and the number of those whose pose is not."""
    frames, skipped = [], 0
    start = header.end
    for number in range(header.frames):
        where = f"frame {number} of {header.frames}"
        file.seek(start)
        *pose, _, _, colour_size, depth_size = _unpack(_FRAME, file, path, where)
        images = start + _FRAME.size
        if images + colour_size + depth_size > size:
            raise DataError(f"{path} ends inside {where}; copy it again")
        if number % stride == 0:
            world_from_base = np.array(pose, np.float32).reshape(4, 4).astype(np.float64)
            if not (colour_size and depth_size):
                raise DataError(f"{path}: {where} lacks its colour or depth image; copy the file again")
            if usable_pose(world_from_base, f"{path}, {where}"):
                pose_part, colour = FilePart(path, start, _FRAME.size), FilePart(path, images, colour_size)
                depth = FilePart(path, images + colour_size, depth_size)
                frames.append(RgbdFrame(number, world_from_base, pose_part, colour, depth))
            else:
                skipped += 1
        start = images + colour_size + depth_size
    return tuple(frames), skipped


def _unpack(form: struct.Struct, file: BinaryIO, path: Path, where: str) -> tuple:
    content = file.read(form.size)
    if len(content) != form.size:
        raise DataError(f"{path} ends inside {where}; copy it again")
    return form.unpack(content)


def _require_known(kind: int, known: dict, refused: dict[int, str], what: str) -> None:
    if kind not in known:
        raise DataError(
            f"{what} are stored as {refused.get(kind, 'unknown')!r} (compression {kind}), which cannot be "
            "read; export them with ScanNet's SensReader"
        )
