"""Test-time augmentation: the same cloud turned and mirrored, and the mean of what is answered.

Decision: turns about the vertical and mirrors alone. Training draws both, and neither changes which class a
point has; scales and noise would move points between voxels.
"""

from __future__ import annotations

import math

import numpy as np


def view_of(points: np.ndarray, view: int, views: int) -> np.ndarray:
    """points (N,3) as `view` of `views` shows them; view 0 is the cloud itself.

    Odd views are mirrored (y -> -y). Each pair of views is turned a step further, the steps make a full turn.
    """
    if view == 0:
        return points
    angle = 2 * math.pi * (view // 2) / math.ceil(views / 2)
    cosine, sine = math.cos(angle), math.sin(angle)
    mirror = -1.0 if view % 2 else 1.0
    rotation = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
    return ((points * np.array([1.0, mirror, 1.0])) @ rotation).astype(points.dtype)
