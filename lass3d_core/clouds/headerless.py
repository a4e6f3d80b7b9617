"""Clouds without column names: .bin (float32, no header) and .npy. A file is asked about, never misread.

A .bin of 4 columns and one of 5 have no mark that tells them apart, see headerless_look.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lass3d_core.clouds.headerless_look import CLEAR, FEW, clearest_width, other_layout
from lass3d_core.errors import DataError

USUAL = {
    3: ("x", "y", "z"),
    4: ("x", "y", "z", "intensity"),
    5: ("x", "y", "z", "intensity", "ring"),
}
"""KITTI has 4 columns, nuScenes 5."""

_COLUMNS = "COLUMNS=x,y,z,intensity (--columns; `columns: [x, y, z, intensity]` in a manifest)"


def read_bin(path: Path, columns: Sequence[str] | None) -> dict[str, np.ndarray]:
    """Columns by name of a headerless float32 file. Raises DataError."""
    content = path.read_bytes()
    names = _checked_names(columns, path) if columns is not None else None
    if names is not None:
        looks = other_layout(content, len(names), tuple(map(names.index, "xyz")))
        if looks:
            what = f"{path} looks like {looks}, not like rows of {len(names)} float32 ({', '.join(names)})"
            raise DataError(f"{what}; write the file so, or give the right {_COLUMNS}")
    if len(content) % 4:
        raise DataError(f"{path} has {len(content)} bytes, no whole number of float32; copy it again")
    values = np.frombuffer(content, "<f4")
    names = names or USUAL[_columns_of(values, path)]
    if len(values) % len(names):
        raise DataError(
            f"{path} holds {len(values)} numbers, no whole number of rows of {len(names)} columns "
            f"({', '.join(names)}); give the right {_COLUMNS}"
        )
    return _named(values.reshape(-1, len(names)), names)


def read_npy(path: Path, columns: Sequence[str] | None) -> dict[str, np.ndarray]:
    """Columns by name of an array (N,K), or of a structured one. Raises DataError."""
    try:
        values = np.load(path, allow_pickle=False, mmap_mode="r")
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path} is no whole .npy file ({error}); save it again with numpy.save") from None
    if not isinstance(values, np.ndarray):
        raise DataError(f"{path} holds several arrays; save one (N, K) with numpy.save")
    if values.dtype.names:
        return {name: np.ascontiguousarray(values[name]) for name in values.dtype.names}
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise DataError(
            f"{path} holds {values.dtype} of shape {values.shape}; numbers of shape (N, K) are needed"
        )
    width = values.shape[1]
    if columns is not None:
        names = _checked_names(columns, path)
        if len(names) != width:
            raise DataError(f"{path} has {width} columns, COLUMNS (--columns) names {len(names)}")
    elif width in (3, 4):
        names = USUAL[width]
    else:
        raise DataError(f"{path} has {width} columns; name them: {_COLUMNS}, _ for one to leave out")
    return _named(values, names)


def _named(values: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(values[:, k]) for k, name in enumerate(names) if name != "_"}


def _checked_names(columns: Sequence[str], path: Path) -> tuple[str, ...]:
    names = tuple(name.strip() for name in columns)
    named = [name for name in names if name != "_"]
    if not all(names) or len(set(named)) < len(named):
        raise DataError(f"{path}: COLUMNS (--columns) {','.join(columns)!r} has an empty or a double name")
    if not {"x", "y", "z"} <= set(names):
        raise DataError(f"{path}: COLUMNS (--columns) {','.join(columns)!r} must name x, y and z")
    return names


def _columns_of(values: np.ndarray, path: Path) -> int:
    """3, 4 or 5, whichever the points themselves show. Raises DataError if they do not show it clearly."""
    width, share = clearest_width(values)
    if len(values) >= FEW and share >= CLEAR and width in USUAL and not other_layout(values.tobytes(), width):
        return width
    raise DataError(
        f"{path} holds {len(values)} numbers, which are not clearly rows of 3, 4 or 5 float32; "
        f"name its columns: {_COLUMNS}, _ for one to leave out"
    )
