"""RGB-D frames of a ScanNet scene as exported files.

A folder holds
- color/N.jpg,
- depth/N.png, 16-bit, millimetres,
- pose/N.txt, camera to world,
- the cameras: intrinsic/intrinsic_color.txt and others, as SensReader writes them, or intrinsics_color.txt
  and intrinsics_depth.txt, as in scannet_frames_25k.
A matrix is 4 lines of 4 numbers.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from lass3d_core.datasets.scannet.rgbd import RgbdCamera, RgbdFrame, RgbdSequence, checked_camera, usable_pose
from lass3d_core.errors import DataError
from lass3d_core.files.text_lines import Line, at, numbers, text_lines
from lass3d_core.records import FilePart

_IMAGE_SUFFIXES = (".jpg", ".png", ".jpeg")
_SIDES = ("colorWidth", "colorHeight", "depthWidth", "depthHeight")
_REMEDY, _ONE = "export the frames again", "delete the wrong one"


def is_exported(folder: Path) -> bool:
    """Whether the folder holds exported frames."""
    return (folder / "color").is_dir()


def read_exported(folder: Path, facts: Path, stride: int = 1) -> RgbdSequence:
    """Read the cameras and every stride-th frame that has a colour image, by number; no image is opened.

    facts: the scene's .txt file, which says the image size of the cameras; it may be absent.
    Without a folder depth/ the frames have no depth. Raises DataError if a file is missing or wrong.
    """
    images = _numbered(folder / "color", _IMAGE_SUFFIXES)
    depths = _numbered(folder / "depth", (".png",))
    poses = _numbered(folder / "pose", (".txt",))
    if not images:
        raise DataError(f"{folder / 'color'} holds no numbered images; export the frames again")
    chosen = [_frame(number, images, depths, poses) for number in sorted(images)[::stride]]
    frames = tuple(frame for frame in chosen if usable_pose(frame.world_from_base, str(frame.pose_part)))
    sizes = _declared_sizes(facts)
    colour, colour_files = _camera(folder, "color", sizes.get("color"))
    depth, depth_files = _camera(folder, "depth", sizes.get("depth")) if depths else (None, [])
    files = [*colour_files, *depth_files, *([facts] if sizes else [])]
    skipped = len(chosen) - len(frames)
    return RgbdSequence(colour, depth, frames, skipped, tuple(FilePart(file) for file in files))


_Files = dict[int, Path]  # frame number -> its file


def _numbered(folder: Path, suffixes: tuple[str, ...]) -> _Files:
    """Frame number -> file. Files may be named 7.jpg or 000007.jpg; other files are skipped."""
    found = (path for path in folder.glob("*") if path.suffix.lower() in suffixes)
    return {int(path.stem): path for path in sorted(found) if path.stem.isascii() and path.stem.isdigit()}


def _frame(number: int, images: _Files, depths: _Files, poses: _Files) -> RgbdFrame:
    """The frame of a colour image. Raises DataError if its pose or depth image is missing."""
    # A missing pose or depth image means that the export was cut off. Poses and depth images without a colour
    # image are skipped.
    image = images[number]
    for kind, files in (("pose", poses), ("depth", depths)):
        if number not in files and (files or kind == "pose"):
            missing = image.parent.with_name(kind)
            what = f"frame {number} has {image} and nothing in {missing}"
            raise DataError(f"{what}; export it again or delete that image")
    depth = FilePart(depths[number]) if depths else None
    return RgbdFrame(number, _matrix(poses[number]), FilePart(poses[number]), FilePart(image), depth)


def _camera(folder: Path, kind: str, size_hw: tuple[int, int] | None) -> tuple[RgbdCamera, list[Path]]:
    """The camera `color` or `depth`, and the files from which it was read."""
    intrinsic, flat = folder / "intrinsic" / f"intrinsic_{kind}.txt", folder / f"intrinsics_{kind}.txt"
    if not intrinsic.exists() and flat.exists():
        intrinsic = flat
    extrinsic = folder / "intrinsic" / f"extrinsic_{kind}.txt"
    files = [intrinsic, extrinsic] if extrinsic.exists() else [intrinsic]
    base_from_camera = _matrix(extrinsic) if extrinsic.exists() else np.eye(4)
    return checked_camera(_matrix(intrinsic), base_from_camera, size_hw, str(intrinsic)), files


def _matrix(path: Path) -> np.ndarray:
    """Read (4,4) float64 from a text file. It may hold infinity: ScanNet marks a lost pose so."""
    # By way of float32, the precision of a .sens file.
    lines = text_lines(path, _REMEDY)
    rows = [numbers(one.text.split(), at(path, one), None, _REMEDY, finite=False) for one in lines]
    if sum(map(len, rows)) != 16:
        raise DataError(f"{path} must hold 4 lines of 4 numbers; {_REMEDY}")
    with np.errstate(over="ignore"):
        return np.concatenate(rows).reshape(4, 4).astype(np.float32).astype(np.float64)


def _declared_sizes(facts: Path) -> dict[str, tuple[int, int]]:
    """Read lines such as "colorWidth = 1296": "color" and "depth" -> height and width."""
    sides: dict[str, Line] = {}
    for line in text_lines(facts) if facts.exists() else ():
        key, _, value = (part.strip() for part in line.text.partition("="))
        if key not in _SIDES:
            continue
        if key in sides:
            raise DataError(f"{facts}: {key} stands on lines {sides[key].number} and {line.number}; {_ONE}")
        if not re.fullmatch(r"[0-9]{1,6}", value):
            raise DataError(f"{at(facts, line)}: {key} is {value!r}, no number of pixels; copy it again")
        sides[key] = Line(line.number, value)
    size = {key: int(line.text) for key, line in sides.items()}
    return {
        kind: (size[f"{kind}Height"], size[f"{kind}Width"])
        for kind in ("color", "depth")
        if size.get(f"{kind}Height") and size.get(f"{kind}Width")
    }
