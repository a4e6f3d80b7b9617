"""poses.txt of KITTI's odometry benchmark and of SemanticKITTI: the pose of camera 0 at each scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lass3d_core.errors import DataError
from lass3d_core.geometry.projection import rigid


def read_poses(path: Path) -> np.ndarray:
    """Read world_from_camera0 (S,4,4) float64, metres, of the rectified camera 0.

    The file has one line of 12 numbers (3x4, row by row) per scan. Raises DataError.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = np.array([line.split() for line in lines if line.strip()], np.float64).reshape(-1, 3, 4)
    except FileNotFoundError:
        raise DataError(
            f"{path} does not exist, and pairs.earlier_scans needs it; copy it, or set earlier_scans to 0"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}; restore it") from error
    except ValueError:
        raise DataError(f"{path} must hold 12 numbers per line; copy it again") from None
    for number, row in enumerate(rows):
        if not _is_rigid(row):
            raise DataError(f"{path}: line {number + 1} is not a pose; copy it again")
    return np.array([rigid(row[:, :3], row[:, 3]) for row in rows]).reshape(-1, 4, 4)


def _is_rigid(row: np.ndarray) -> bool:
    rotation = row[:, :3]
    if not np.isfinite(row).all():
        return False
    return bool(abs(rotation @ rotation.T - np.eye(3)).max() < 0.01 and np.linalg.det(rotation) > 0)
