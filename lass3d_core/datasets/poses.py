"""poses.txt: where the sensor was at each scan, in KITTI's form."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lass3d_core.errors import DataError
from lass3d_core.files.text_lines import at, numbers, text_lines
from lass3d_core.geometry.projection import is_rotation, rigid


def read_poses(path: Path) -> np.ndarray:
    """Read (S,4,4) float64, metres, from one line of 3x4 numbers per scan. Raises DataError."""
    poses = []
    for line in text_lines(path, "pairs.earlier_scans and pairs.vote need it: copy it, or leave them out"):
        row = numbers(line.text.split(), at(path, line), 12, "copy the file again", "a pose").reshape(3, 4)
        if not is_rotation(row[:, :3]):
            raise DataError(f"{at(path, line)} is not a pose; copy the file again")
        poses.append(rigid(row[:, :3], row[:, 3]))
    return np.array(poses).reshape(-1, 4, 4)
