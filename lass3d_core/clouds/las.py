"""LAS and LAZ files, by laspy."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lass3d_core.errors import BackendUnavailable, DataError


def read_las(path: Path) -> dict[str, np.ndarray]:
    """Columns by name; x, y, z are float64 metres. Raises DataError, BackendUnavailable (no laspy)."""
    try:
        import laspy
    except ImportError:
        raise BackendUnavailable(f'{path}: laspy is not installed; pip install "laspy[lazrs]"') from None
    try:
        with laspy.open(path) as opened:
            cloud = opened.read()
            promised = opened.header.point_count
    except (laspy.errors.LaspyException, ValueError, OSError, EOFError, RuntimeError) as error:
        raise DataError(
            f"{path} is no whole LAS file ({str(error).splitlines()[0]}); copy it again"
        ) from None
    if len(cloud) != promised:
        raise DataError(f"{path} is cut short: {len(cloud)} of {promised} points; copy it again")
    raw = ("X", "Y", "Z")
    named = {name: np.asarray(cloud[name]) for name in cloud.point_format.dimension_names if name not in raw}
    return {axis: np.asarray(getattr(cloud, axis)) for axis in "xyz"} | named
