"""What the viewer shows of scans: their prediction, labels, text and images."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from lass3d_core.datasets import Dataset
from lass3d_core.errors import DataError, Lass3dError
from lass3d_core.files.images import read_image
from lass3d_core.labels import LabelSpace
from lass3d_core.model.predict import Prediction
from lass3d_core.records import NONE, PairedScan, View
from lass3d_core.viewer.clouds import (
    CAPTION_ALONE,
    FIRST_PHRASE,
    NO_WORDS,
    Likeness,
    PicturedCloud,
    PointWords,
    Viewer,
    viewer_of,
)
from lass3d_core.viewer.photos import MOST_PHOTOS, Photo


@dataclass(frozen=True)
class PicturedScan:
    """A scan of N points with its prediction.

    photos: its camera images. likeness: how like a query's text each point is.
    has_sensor: whether the origin of the points is a sensor.
    """

    scan: PairedScan
    prediction: Prediction
    photos: tuple[Photo, ...] = ()
    likeness: Likeness | None = None
    has_sensor: bool = True


def cloud_viewer(scans: Sequence[PicturedScan], space: LabelSpace) -> Viewer:
    """The viewer of `scans`, at least one."""
    return viewer_of([_pictured(one) for one in scans], space.names, space.colours)


def photos_of(scan: PairedScan, dataset: Dataset | None) -> tuple[Photo, ...]:
    """The images that show most points of `scan`, as the pairs recorded which points an image shows.

    dataset: knows where the images lie; without it, and of a data set that moved, there are none.
    """
    pairs = scan.pairs
    slot_of = {image_id: slot for slot, image_id in enumerate(pairs.image_ids)}
    counts = np.bincount(pairs.image[pairs.image != NONE], minlength=len(slot_of))
    views = [view for view in _views(scan.scan_id, dataset) if view.image_id in slot_of]
    # A room may have hundreds of images; only those that are shown are read.
    best = sorted(views, key=lambda view: -counts[slot_of[view.image_id]])[:MOST_PHOTOS]
    kept = {view.image_id for view in best}
    photos = []
    for view in (view for view in views if view.image_id in kept):
        seen = (pairs.image == slot_of[view.image_id]).any(axis=1)
        with suppress(DataError):
            photos.append(Photo(view.image_id.rpartition("/")[2], read_image(view.image), view.camera, seen))
    return tuple(photos)


def _views(scan_id: str, dataset: Dataset | None) -> tuple[View, ...]:
    try:
        return dataset.views(scan_id) if dataset else ()
    except Lass3dError:
        return ()


def _pictured(one: PicturedScan) -> PicturedCloud:
    scan = one.scan
    return PicturedCloud(
        name=scan.scan_id,
        points=scan.points,
        prediction=np.asarray(one.prediction.labels),
        confidence=np.asarray(one.prediction.confidence),
        truth=scan.labels,
        words=_words(scan),
        likeness=one.likeness,
        photos=one.photos,
        has_sensor=one.has_sensor,
    )


def _words(scan: PairedScan) -> PointWords:
    has_image = (scan.pairs.image != NONE).any(axis=1)
    text = np.where(has_image, CAPTION_ALONE, NO_WORDS)
    entity = scan.pairs.entity.astype(np.int64)
    text = np.where(entity != NONE, entity + FIRST_PHRASE, text).astype(np.uint16)
    votes = scan.pairs.votes
    if votes is None:
        return PointWords(text, scan.pairs.phrases)
    return PointWords(text, scan.pairs.phrases, votes.views, votes.share[:, 0])
