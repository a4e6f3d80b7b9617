"""Point-cloud files, one format a module. To add one: its module, and its line in `read_cloud`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lass3d_core.errors import DataError

SUFFIXES = (".bin", ".npy", ".ply", ".pcd", ".las", ".laz")


@dataclass(frozen=True)
class CloudFile:
    """A cloud as its file holds it, in the order of the file.

    points (N,3) float32 or float64: x, y, z. columns: every other column by the file's name for it, (N,).
    """

    points: np.ndarray
    columns: dict[str, np.ndarray]


def read_cloud(path: Path, columns: Sequence[str] | None = None) -> CloudFile:
    """The cloud in the file at `path`; its suffix says the format.

    columns: names of the columns of a file without names (.bin, .npy), such as x, y, z, intensity, ring.
    Raises DataError: no such file, an unknown suffix, a damaged file, no x, y and z, columns that do not fit.
    """
    if not path.is_file():
        raise DataError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; give a cloud's file")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty; copy it again")
    suffix = path.suffix.lower()
    if suffix in (".bin", ".npy"):
        from lass3d_core.clouds import headerless

        named = headerless.read_npy(path, columns) if suffix == ".npy" else headerless.read_bin(path, columns)
    elif columns is not None:
        raise DataError(f"{path} names its columns itself; leave out COLUMNS (--columns)")
    elif suffix == ".ply":
        from lass3d_core.clouds.ply import read_ply

        elements = read_ply(path)
        if "vertex" not in elements:
            raise DataError(f"{path} has no element vertex; it is no point cloud")
        named = {name: elements["vertex"][name] for name in elements["vertex"].dtype.names or ()}
    elif suffix == ".pcd":
        from lass3d_core.clouds.pcd import read_pcd

        named = read_pcd(path)
    elif suffix in (".las", ".laz"):
        from lass3d_core.clouds.las import read_las

        named = read_las(path)
    else:
        raise DataError(f"{path}: the suffix {suffix!r} is none of {', '.join(SUFFIXES)}; convert the file")
    return cloud_of(path, named)


def cloud_of(path: Path, named: dict[str, np.ndarray]) -> CloudFile:
    """Columns by name as a CloudFile. Raises DataError if x, y or z is missing or no number."""
    lower = {name.lower(): name for name in named}
    missing = [axis for axis in "xyz" if axis not in lower]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)} (it has {', '.join(named) or 'none'}); rename them"
        )
    axes = [named[lower[axis]] for axis in "xyz"]
    kind = np.float32 if all(axis.dtype == np.float32 for axis in axes) else np.float64
    rest = {name: column for name, column in named.items() if name.lower() not in ("x", "y", "z")}
    return CloudFile(np.stack([axis.astype(kind) for axis in axes], axis=1), rest)
