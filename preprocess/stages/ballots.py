"""The ballots of one scan: which phrase each look at each of its own images gives to which point.

Visibility is decided with the points of this scan alone, at its own time. So a thing that moves is voted on
where it was when the image was taken.
"""

from __future__ import annotations

from typing import NamedTuple, get_args

import numpy as np

from lass3d_core.geometry.visible_pixels import PreparedPoints, VisiblePixels, at_pixels, visible_pixels
from lass3d_core.manifest.schema import PairsSpec
from lass3d_core.records import NONE, Entity, Look, Scan, View
from preprocess.stages.pairing import (
    Entities,
    confident,
    distance_from_centre,
    measured_by,
    painted_as,
    small_type,
    visibility_of,
)

NEAREST_M = 5.0
"""Nearer than this a view says no more: the pixels are smaller than a mask's edge is wrong."""

BEYOND_BORDER = 1.5
"""The distance from an image's centre at which a ballot would weigh nothing; the border is at 1."""


class Ballots(NamedTuple):
    """B ballots of a scan.

    point (B,) int64: index into the scan. phrase, image (B,) int64: slots in `phrases` and `image_ids`.
    weight (B,) float64: above 0. score (B,) float64: of the mask, in [0,1].
    """

    point: np.ndarray
    phrase: np.ndarray
    image: np.ndarray
    weight: np.ndarray
    score: np.ndarray
    phrases: tuple[str, ...]
    image_ids: tuple[str, ...]


def weights(score: np.ndarray, distance: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """How much ballots (B,) count: score * (1.5 - distance) / max(depth, 5 m), float64.

    score (B,): of the mask, in [0,1]. distance (B,): from the image's centre, 1 at its border. depth (B,): m.
    Decision: the score is the detector's own doubt. Near the border an object is cut off and the lens is
    worst, so a ballot there weighs a third of one at the centre. A mask's edge is wrong by some pixels, and a
    calibration by a part of a degree: both are more metres, the farther the point is.
    """
    centred = BEYOND_BORDER - distance.astype(np.float64)
    return score * centred / np.maximum(depth, NEAREST_M)


def ballots_of(scan: Scan, found: Entities, spec: PairsSpec) -> Ballots:
    """The ballots of every look at every view of a scan on its points. Raises DataError, as `pair` does.

    A look gives a ballot to each point that it sees with a mask at its pixel; a mask with score 0 gives none.
    Decision: each look is painted alone and votes alone. Masks of two looks at one thing differ at its edge,
    where the smaller one would own the pixels if they were painted together.
    """
    phrases = tuple(sorted({one.phrase for view in scan.views for one in found.get(view.image_id, ())}))
    slot_of = {phrase: slot for slot, phrase in enumerate(phrases)}
    points, cast = PreparedPoints(scan.points), [_NOBODY]
    for image, view in enumerate(scan.views):
        for look in get_args(Look):
            masks = confident(found.get(view.image_id, ()), spec.min_score, look)
            if masks:
                slots = np.array([slot_of[mask.phrase] for mask in masks])
                seen, mask = _seen_masks(view, points, masks, slots, spec)
                score = np.array([mask.score for mask in masks], np.float64)[mask]
                weight = weights(score, distance_from_centre(seen, view.camera), seen.depth)
                cast.append((seen.point, slots[mask], np.full(len(mask), image), weight, score))
    point, phrase, of_image, weight, score = (np.concatenate(column) for column in zip(*cast))
    counts = weight > 0
    columns = point[counts], phrase[counts], of_image[counts], weight[counts], score[counts]
    return Ballots(*columns, phrases, tuple(view.image_id for view in scan.views))


_NOBODY = tuple(np.empty(0, kind) for kind in (np.int64, np.int64, np.int64, np.float64, np.float64))


def _seen_masks(
    view: View, points: PreparedPoints, masks: list[Entity], slots: np.ndarray, spec: PairsSpec
) -> tuple[VisiblePixels, np.ndarray]:
    """The points that a view sees with one of the masks at their pixel, and which mask (n,) that is."""
    numbers = np.arange(len(masks), dtype=small_type(len(masks)))
    owner = painted_as(numbers, masks, view.camera.size_hw, spec.overlap, view.image_id)
    # Points hide one another within a phrase, as in `pair`. NONE is -1, so it takes the last row.
    regions = np.append(slots, NONE).astype(small_type(int(slots.max()) + 1))[owner]
    seen = visible_pixels(view.camera, points, visibility_of(spec), measured_by(view, spec), regions)
    mask = at_pixels(owner, seen.v, seen.u)
    named = mask != NONE
    return VisiblePixels(*(column[named] for column in seen)), mask[named]
