"""The frames of a sequence for a viewer: each scan with its prediction, its pose and its images.

Letters: N points of a scan.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lass3d_core.datasets import Dataset
from lass3d_core.errors import DataError, Lass3dError, UnknownName
from lass3d_core.geometry.projection import invert_rigid
from lass3d_core.records import PairedScan, View
from lass3d_core.settings import nearest
from train.data.evaluation_scans import scan_loader
from train.evaluate import predictions, with_progress
from train.report.artifacts import pictured_images
from train.report.images import PicturedImage
from train.runs.run import Run

MOST_FRAMES = 100
"""Frames that are taken if no limit is given: a drive of SemanticKITTI has thousands, of 2 MB each."""

_NOTHING = PicturedImage("", None, None, ())


@dataclass(frozen=True)
class Sequence3D:
    """The chosen scans of one sequence, in order. in_all: how many the sequence has."""

    name: str
    split: str
    scan_ids: tuple[str, ...]
    in_all: int

    @property
    def numbers(self) -> list[int]:
        """The frames' numbers: those at the ends of the ids if all have one, else counted from 0."""
        ends = [scan_id.rpartition("/")[2] for scan_id in self.scan_ids]
        if all(end.isdecimal() and end.isascii() for end in ends):
            return [int(end) for end in ends]
        return list(range(len(ends)))


@dataclass(frozen=True)
class FrameImage:
    """An image of a frame, its camera, and what was said of it."""

    view: View
    said: PicturedImage

    @property
    def camera_name(self) -> str:
        """The camera of "00/000012/image_2" is image_2."""
        return self.view.image_id.rpartition("/")[2]


@dataclass(frozen=True)
class Frame:
    """One scan. prediction (N,): uint8 train ids. sequence_from_points (4,4): its pose, metres."""

    number: int
    scan: PairedScan
    prediction: np.ndarray
    sequence_from_points: np.ndarray
    images: tuple[FrameImage, ...]


def chosen_sequence(run: Run, split: str, name: str | None, limit: int | None) -> Sequence3D:
    """The first `limit` scans of a sequence of `split`, by default of the first and MOST_FRAMES.

    A scan "08/000010" belongs to the sequence 08, and a scan "scene0011_00" is one of its own.
    Raises DataError (the split has no scans), UnknownName.
    """
    by_sequence: dict[str, list[str]] = {}
    for scan_id in run.pairs.splits[split]:
        by_sequence.setdefault(scan_id.rpartition("/")[0] or scan_id, []).append(scan_id)
    if not by_sequence:
        raise DataError(f"the split {split} has no scans; choose another with --split (make: SPLIT=val)")
    name = next(iter(by_sequence)) if name is None else name
    if name not in by_sequence:
        raise UnknownName(
            f"the split {split} has no sequence {name!r} (it has {', '.join(list(by_sequence)[:5])}"
            f"{', …' if len(by_sequence) > 5 else ''}){nearest(name, by_sequence)}"
        )
    scan_ids = by_sequence[name]
    return Sequence3D(name, split, tuple(scan_ids[: limit or MOST_FRAMES]), len(scan_ids))


def frames_of(run: Run, dataset: Dataset, sequence: Sequence3D) -> Iterator[Frame]:
    """Predict the scans of a sequence by the trained run.

    If poses cannot be read, every scan stands at the origin. A scan whose cameras cannot be read has no
    images. The first reason of each goes to stderr.
    Raises MissingArtifact (the run is not trained), CorruptArtifact.
    """
    predictor = run.trained_predictor()
    said = {one.image_id: one for one in pictured_images(run.pairs, sequence.scan_ids, dataset)}
    poses = _poses(dataset, sequence.scan_ids)
    numbers = dict(zip(sequence.scan_ids, sequence.numbers))
    scans = scan_loader(run.whole_scans_of(sequence.scan_ids), run.config.data.workers)
    ahead = with_progress(scans, len(sequence.scan_ids), "frames")
    without_images = False
    for whole, prediction in predictions(predictor, ahead, run.device):
        one = whole.scan_id
        views: tuple[View, ...] = ()
        try:
            views = dataset.views(one)
        except Lass3dError as error:
            if not without_images:
                print(f"note: {one} has no images: {error}", file=sys.stderr)
            without_images = True
        images = tuple(FrameImage(view, said.get(view.image_id, _NOTHING)) for view in views)
        yield Frame(numbers[one], run.pairs.read(one), prediction, poses[one], images)


def _poses(dataset: Dataset, scan_ids: Sequence[str]) -> dict[str, np.ndarray]:
    """The pose (4,4) float64 of each scan in the frame of the first: viewers count in float32."""
    try:
        poses = {scan_id: dataset.world_from_points(scan_id) for scan_id in scan_ids}
    except Lass3dError as error:
        print(f"note: every scan stands at the origin: {error}", file=sys.stderr)
        return {scan_id: np.eye(4) for scan_id in scan_ids}
    first_from_world = invert_rigid(poses[scan_ids[0]])
    return {scan_id: first_from_world @ pose for scan_id, pose in poses.items()}
