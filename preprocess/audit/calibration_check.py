"""The calibration check of a data set: each camera, on a few scans of a few sequences."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from lass3d_core.errors import DataError
from lass3d_core.files.images import read_image
from lass3d_core.files.splits import spread
from lass3d_core.geometry.visible_pixels import Visibility, visible_pixels
from lass3d_core.manifest.schema import PairsSpec
from lass3d_core.progress.bars import progress_bar
from lass3d_core.records import View
from preprocess.audit.calibration import NUDGES, Alignment, Nudge, Observation, compare, observe
from preprocess.audit.outlines import depth_outline
from preprocess.audit.verdict import described
from preprocess.project import SPLITS, Project
from preprocess.stages.pairing import measured_by

# What is looked at, evenly spread: sequences or scenes per split, scans per sequence, images per scan. Six
# images are all cameras of a car, or some frames of a room.
SEQUENCES, SCANS, VIEWS = 4, 4, 6

Item = TypeVar("Item")


@dataclass(frozen=True)
class CheckedCamera:
    """A camera of a sequence, and how well its images fit the scans."""

    split: str
    sequence: str
    camera: str
    alignment: Alignment

    def __str__(self) -> str:
        return f"{self.split} {self.sequence} {self.camera}: {described(self.alignment)}"


def check_calibration(project: Project, points_of: Callable[[str], np.ndarray]) -> list[CheckedCamera]:
    """Check every camera on a few scans; no label is read.

    points_of: scan id -> points (N,3) float32. Images that cannot be read are left out, and named on stderr.
    """
    chosen = [(split, scan_id) for split in SPLITS for scan_id in _chosen(project.dataset.scan_ids(split))]
    observed: dict[tuple[str, str, str], list[Observation]] = defaultdict(list)
    for split, scan_id in progress_bar(chosen, desc="calibration", unit="scan"):
        points = points_of(scan_id)
        for view in spread(project.dataset.views(scan_id), VIEWS):
            key = split, scan_id.split("/")[0], camera_of(view, scan_id)
            with left_out_if_unreadable():
                observed[key].append(observed_in(view, points, project.manifest.pairs))
    return [
        CheckedCamera(*key, compare(observations)) for key, observations in observed.items() if observations
    ]


@contextmanager
def left_out_if_unreadable() -> Iterator[None]:
    """Leave out an image that cannot be read, with a line on stderr: `captions` has counted it as failed."""
    try:
        yield
    except DataError as error:
        tqdm.write(f"left out: {error}", file=sys.stderr)


def observed_in(
    view: View, points: np.ndarray, spec: PairsSpec, nudges: Sequence[Nudge] = NUDGES
) -> Observation:
    """Measure the edges of a view on the outlines of the points (N,3) that it may see."""
    seen = seen_points(view, points, spec)
    return observe(view.camera, read_image(view.image), seen, depth_outline(view.camera, seen), nudges)


def seen_points(view: View, points: np.ndarray, spec: PairsSpec) -> np.ndarray:
    """The points (n,3) of a scan (N,3) that the view's depth image confirms; without one, all in view."""
    # Decision: no z-buffer. It removes points around an outline, and depth_outline needs both sides of it.
    measured = measured_by(view, spec)
    visibility = Visibility(
        "none" if measured is None else "depth_map",
        depth_tolerance=spec.depth_tolerance,
        min_depth_m=spec.min_depth_m,
    )
    return points[visible_pixels(view.camera, points, visibility, measured).point]


def camera_of(view: View, scan_id: str) -> str:
    """The name of the camera in the image id. Numbered frames of a scene belong to one camera, `frames`."""
    name = view.image_id.removeprefix(f"{scan_id}/")
    return "frames" if name.isdigit() else name


def _chosen(scan_ids: Sequence[str]) -> Iterator[str]:
    sequences: dict[str, list[str]] = defaultdict(list)
    for scan_id in scan_ids:
        sequences[scan_id.split("/")[0]].append(scan_id)
    for sequence in spread(list(sequences), SEQUENCES):
        yield from spread(sequences[sequence], SCANS)
