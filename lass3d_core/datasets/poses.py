"""poses.txt: where the sensor was at each scan, in KITTI's form."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lass3d_core.errors import DataError, reading
from lass3d_core.geometry.projection import is_rotation, rigid


def read_poses(path: Path) -> np.ndarray:
    """Read (S,4,4) float64, metres, from one line of 3x4 numbers per scan. Raises DataError."""
    try:
        with reading(path, "pairs.earlier_scans needs it: copy it, or set earlier_scans to 0"):
            lines = path.read_text(encoding="utf-8").splitlines()
        rows = np.array([line.split() for line in lines if line.strip()], np.float64).reshape(-1, 3, 4)
    except ValueError:
        raise DataError(f"{path} must hold 12 numbers per line; copy it again") from None
    for number, row in enumerate(rows):
        if not (np.isfinite(row).all() and is_rotation(row[:, :3])):
            raise DataError(f"{path}: line {number + 1} is not a pose; copy it again")
    return np.array([rigid(row[:, :3], row[:, 3]) for row in rows]).reshape(-1, 4, 4)
