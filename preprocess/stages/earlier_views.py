"""Images of earlier scans, lent to a scan by `pairs.earlier_scans`.

A front camera sees a fifth of a scan. What lies beside and behind, it saw some scans before, when the sensor
was further back. The sensor's poses move those views to this scan, so that most of its points get a text
without more captions. Visibility is decided with the points of this scan alone.
Decision: a thing that has moved since is paired with what stood in its place. That is wrong, and rare.
"""

from __future__ import annotations

import numpy as np

from lass3d_core.datasets import Block, Dataset
from lass3d_core.geometry.projection import invert_rigid
from lass3d_core.records import View
from preprocess.project import Project

REACH_M = 50.0
"""A camera farther away saw another place, or this one as a few pixels."""


EarlierView = tuple[View, int]
"""A view whose camera is moved to this scan's points, and how many scans back it is; 0: this scan."""


def earlier_views(dataset: Dataset, scan_id: str, count: int) -> tuple[EarlierView, ...]:
    """Views of up to `count` earlier scans, the latest first, until one is out of reach. Raises DataError."""
    found: list[EarlierView] = []
    for scans_back, views in enumerate(dataset.views_before(scan_id, count), start=1):
        places = [invert_rigid(view.camera.cam_from_points)[:3, 3] for view in views]  # of the cameras
        if any(np.linalg.norm(place) > REACH_M for place in places):
            break
        found += [(view, scans_back) for view in views]
    return tuple(found)


def lenders(project: Project, block: Block) -> list[Block]:
    """The blocks whose images the scans of `block` are paired with, `block` first.

    Only `block` if its split is not captioned, because then no image has a text.
    """
    lent = (one for scan_id in block.scan_ids for one in project.lending_scans(scan_id))
    return list(dict.fromkeys([block, *(project.block_of(scan_id) for scan_id in lent)]))
