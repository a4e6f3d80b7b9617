"""Clouds without column names: .bin (float32, no header) and .npy. A file is asked about, never misread.

A .bin of 4 columns and one of 5 look alike. In the right number of columns neighbours in the file are
neighbours in space, because a sensor writes its points as it turns; in a wrong number they are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lass3d_core.errors import DataError

USUAL = {
    3: ("x", "y", "z"),
    4: ("x", "y", "z", "intensity"),
    5: ("x", "y", "z", "intensity", "ring"),
}
"""KITTI has 4 columns, nuScenes 5."""

_CLEARLY = 3.0
"""How many times nearer neighbours must be under one number of columns than under any other."""

_NEAR = 5.0
"""Metres: neighbours in the file that are farther apart than this are no neighbours in space."""


def read_bin(path: Path, columns: Sequence[str] | None) -> dict[str, np.ndarray]:
    """Columns by name of a headerless float32 file. Raises DataError."""
    values = np.fromfile(path, "<f4")
    if path.stat().st_size % 4:
        raise DataError(f"{path} has {path.stat().st_size} bytes, no whole number of float32; copy it again")
    names = _checked_names(columns, path) if columns is not None else USUAL[_columns_of(values, path)]
    if len(values) % len(names):
        raise DataError(
            f"{path} holds {len(values)} numbers, no whole number of rows of {len(names)} columns "
            f"({', '.join(names)}); give the right COLUMNS (--columns)"
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
        raise DataError(
            f"{path} has {width} columns; name them: COLUMNS=x,y,z,intensity,ring (--columns), "
            "_ for one to leave out"
        )
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
    possible = [width for width in USUAL if len(values) % width == 0]
    steps = {width: _typical_step(values.reshape(-1, width)) for width in possible}
    in_order = sorted(steps, key=steps.__getitem__)
    is_a_scan = len(values) >= 5 * 50 and bool(in_order) and steps[in_order[0]] < _NEAR
    if is_a_scan and (len(in_order) == 1 or steps[in_order[1]] > _CLEARLY * steps[in_order[0]]):
        return in_order[0]
    raise DataError(
        f"{path} holds {len(values)} float32 numbers, which are not clearly rows of 3, 4 or 5 columns; "
        "name its columns: COLUMNS=x,y,z,intensity (--columns), _ for one to leave out"
    )


def _typical_step(rows: np.ndarray) -> float:
    """The median distance between neighbouring rows' first three columns, metres; inf if it is no number."""
    part = rows[:20_000, :3].astype(np.float64)
    if not np.isfinite(part).all() or np.abs(part).max() > 1e5:
        return float("inf")
    return float(np.median(np.linalg.norm(np.diff(part, axis=0), axis=1))) + 1e-9
