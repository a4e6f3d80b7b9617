"""PLY files: the point clouds of ScanNet, and ours for CloudCompare, Open3D and MeshLab."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from plyfile import PlyData, PlyElement, PlyElementParseError, PlyListProperty, PlyParseError

from lass3d_core.errors import DataError, reading
from lass3d_core.files.atomic import atomic_write

_TRIANGLES = {"face": {"vertex_indices": 3, "vertex_index": 3}}
"""Lists of a known length: plyfile maps them into memory, and otherwise reads them row by row in Python."""

# plyfile raises any of these on damaged bytes.
_UNREADABLE = (
    *(PlyParseError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError, RuntimeError),
    AttributeError,
)


def read_ply(path: Path) -> dict[str, np.ndarray]:
    """Read the elements of a binary or ASCII PLY file: element name ("vertex") -> structured array (count,).

    An array has one field for each property. Elements with list properties (faces) are left out.
    Raises DataError if the file is missing, malformed or shorter than its header says.
    """
    try:
        with reading(path):
            found = _parse(path)
    except _UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} is not a whole PLY file ({reason}); copy it again") from None
    plain = [one for one in found if not any(isinstance(kind, PlyListProperty) for kind in one.properties)]
    return {one.name: np.array(one.data) for one in plain}


def write_ply(
    path: Path,
    points: np.ndarray,
    colours: np.ndarray,
    scalars: Mapping[str, np.ndarray] | None = None,
    comments: Sequence[str] = (),
) -> None:
    """Write a coloured cloud, binary little-endian, by an atomic rename. Raises StorageError.

    points (N,3) float32 metres. colours (N,3) uint8 r, g, b.
    scalars: property name -> (N,) integers of up to 32 bits or floats; viewers show them as scalar fields.
    comments: lines of the header; other characters than ASCII are escaped.
    Raises ValueError if a scalar has another type or length.
    """
    columns = dict(zip("xyz", points.T.astype(np.float32)))
    columns |= dict(zip(("red", "green", "blue"), colours.T.astype(np.uint8)))
    columns |= scalars or {}
    for name, column in columns.items():
        if column.shape != (len(points),):
            raise ValueError(f"the property {name} has shape {column.shape}, not ({len(points)},)")
    rows = np.empty(len(points), [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        rows[name] = column
    vertex = PlyElement.describe(rows, "vertex")
    notes = [" ".join(one.split()).encode("ascii", "backslashreplace").decode() for one in comments]
    with atomic_write(path) as part, part.open("wb") as file:
        PlyData([vertex], byte_order="<", comments=notes).write(file)


def _parse(path: Path) -> PlyData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns of an empty list in an ASCII file
        try:
            return PlyData.read(str(path), known_list_len=_TRIANGLES)
        except PlyElementParseError:  # perhaps only because a face is no triangle
            return PlyData.read(str(path))
