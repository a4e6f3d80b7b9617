"""The pairing of one scan (Sec. 3.2, Eq. 2): which views and which entity each point belongs to.

Points are projected into the views. A point's image is the view that sees it nearest to the centre, and its
entity is the one that owns its pixel there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lass3d_core.errors import DataError
from lass3d_core.files.images import read_depth
from lass3d_core.files.masks import run_edges
from lass3d_core.geometry.visible_pixels import (
    MeasuredDepth,
    PreparedPoints,
    Visibility,
    VisiblePixels,
    at_pixels,
    visible_pixels,
)
from lass3d_core.manifest.schema import PairsSpec
from lass3d_core.records import NONE, Camera, Entity, Look, PairedScan, PointTextPairs, Scan, View
from preprocess.stages.earlier_views import EarlierView

Entities = Mapping[str, Sequence[Entity]]
"""image_id -> the entities of that image."""


MOST_SLOTS = int(np.iinfo(np.int16).max)
"""Images of one scan, and phrases: a shard stores their numbers in two bytes."""


def pair(scan: Scan, found: Entities, spec: PairsSpec, earlier: Sequence[EarlierView] = ()) -> PairedScan:
    """Give every point of a scan its image slots and its entity slot.

    image: up to max_views views that see the point, nearest to the centre first.
    entity: from the nearest view whose pixel has one, even if that view is not among the max_views.
    Decision: the paper does not say which of several views counts. Near the border an object is cut off and
    the lens is worst, so the centre is trusted.
    Decision: a view of an `earlier` scan counts only if no later view sees the point, because moving things
    and drifting poses add up.
    Raises DataError if masks and image differ in size, if a depth image is missing or unreadable, or for more
    than MOST_SLOTS images or phrases.
    """
    views = [*((view, 0) for view in scan.views), *earlier]
    named = {view.image_id: confident(found.get(view.image_id, ()), spec.min_score) for view, _ in views}
    phrases = tuple(sorted({one.phrase for of_image in named.values() for one in of_image}))
    for count, what in ((len(views), "images"), (len(phrases), "phrases")):
        if count > MOST_SLOTS:
            raise DataError(f"scan {scan.scan_id} has {count} {what}; at most {MOST_SLOTS} can be told apart")
    slot_of = {phrase: slot for slot, phrase in enumerate(phrases)}
    best = BestViews(len(scan.points), spec.max_views)
    points = PreparedPoints(scan.points)
    for slot, (view, scans_back) in enumerate(views):
        owner = painted(named[view.image_id], slot_of, view.camera.size_hw, spec.overlap, view.image_id)
        seen = visible_pixels(view.camera, points, visibility_of(spec), measured_by(view, spec), owner)
        entity = at_pixels(owner, seen.v, seen.u)
        best.add(slot, seen.point, distance_from_centre(seen, view.camera) + np.float32(scans_back), entity)
    pairs = PointTextPairs(best.image, best.entity, tuple(view.image_id for view, _ in views), phrases)
    return PairedScan(scan.scan_id, scan.points, scan.features, scan.labels, pairs)


class BestViews:
    """The max_views views nearest to each of N points, updated view by view.

    The distance is from the point's pixel to the centre of the image. Of equally near views the first counts.
    image (N,max_views) int16: slots of the views, nearest first; NONE if fewer see the point.
    entity (N,) int16: slot from the nearest view that has one, among the max_views or not; NONE if none has.
    """

    # A scene has hundreds of views: the ranking of all of them would not fit into memory.

    def __init__(self, count: int, max_views: int) -> None:
        self.image = np.full((count, max_views), NONE, np.int16)
        self.entity = np.full(count, NONE, np.int16)
        self._distance = np.full((count, max_views), np.inf, np.float32)
        self._entity_distance = np.full(count, np.inf, np.float32)

    def add(self, slot: int, point: np.ndarray, distance: np.ndarray, entity: np.ndarray) -> None:
        """Add a view.

        slot: of the view. point (n,) int64: the points that it sees, each once.
        distance (n,) float32: from the centre. entity (n,) int16: slot of the entity that owns the pixel.
        """
        nearer = np.flatnonzero((distance < self._entity_distance[point]) & (entity != NONE))
        self._entity_distance[point[nearer]] = distance[nearer]
        self.entity[point[nearer]] = entity[nearer]
        nearer = np.flatnonzero(distance < self._distance[point, -1])
        # The view goes into the row of each point, behind views as near; the last view drops out.
        point, distance = point[nearer], distance[nearer, None]
        distances, images = self._distance[point], self.image[point]
        place = (distances <= distance).sum(axis=1, keepdims=True)
        self._distance[point] = _inserted(distances, distance, place)
        self.image[point] = _inserted(images, np.int16(slot), place)


def confident(found: Sequence[Entity], min_score: float, look: Look = "whole") -> list[Entity]:
    """The entities of one look at the image whose score is at least min_score."""
    return [entity for entity in found if entity.score >= min_score and entity.look == look]


def painted(
    found: Sequence[Entity],
    slot_of: Mapping[str, int],
    size_hw: tuple[int, int],
    overlap: str,
    image_id: str = "",
) -> np.ndarray:
    """Which phrase owns each pixel.

    Returns slots (H,W) int8, or int16 for more than 127 phrases; NONE if no mask covers the pixel.
    The rule and the errors are those of `painted_as`.
    """
    slots = [slot_of[one.phrase] for one in found]
    return painted_as(np.array(slots, small_type(len(slot_of))), found, size_hw, overlap, image_id)


def painted_as(
    slots: np.ndarray, found: Sequence[Entity], size_hw: tuple[int, int], overlap: str, image_id: str = ""
) -> np.ndarray:
    """Which mask owns each pixel: (H,W), the slot of the mask; NONE if no mask covers the pixel.

    slots: of each mask. The result has their dtype.
    overlap `smallest_area`: the smallest mask owns the pixel, of equal ones the one with the higher score.
    `highest_score`: the highest score owns it, of equal ones the smaller mask. Then the one found first.
    Decision: the paper does not say which. A small mask is the thing, a large one is what it stands on.
    Raises DataError if a mask differs in size from the image.
    """
    wrong = next((entity for entity in found if tuple(entity.mask.size_hw) != tuple(size_hw)), None)
    if wrong is not None:
        raise DataError(
            f"image {image_id}: the mask of {wrong.phrase!r} is {wrong.mask.size_hw}, the image {size_hw}; "
            "delete its entities shard and run `make captions`"
        )
    # Run by run instead of pixel by pixel: the edges of all masks cut the image into pieces.
    of_mask = [run_edges(entity.mask) for entity in found]
    area = [(edges[2::2] - edges[1:-1:2]).sum() for edges in of_mask]
    score = [-entity.score for entity in found]
    keys = {"smallest_area": (area, score), "highest_score": (score, area)}[overlap]
    edges = np.unique(np.concatenate([[0, size_hw[0] * size_hw[1]], *of_mask]))
    owner = np.full(len(edges) - 1, NONE, slots.dtype)  # one per piece
    for i in np.lexsort(keys[::-1])[::-1]:  # the best is painted last
        pieces = np.diff(np.searchsorted(edges, of_mask[i]))  # of each run
        np.copyto(owner, slots[i], where=np.repeat(np.arange(len(pieces)) % 2 == 1, pieces))
    return np.repeat(owner, np.diff(edges)).reshape(size_hw, order="F")


def small_type(count: int) -> type[np.signedinteger]:
    """The type of slots below `count`: small, so that an image of them stays in the processor's cache."""
    return np.int8 if count <= 127 else np.int16 if count <= MOST_SLOTS else np.int32


def distance_from_centre(seen: VisiblePixels, camera: Camera) -> np.ndarray:
    """Distance of each seen pixel from the centre of the image: (n,) float32 in [0,1], 1 at the border."""
    height, width = camera.size_hw
    across = np.abs((seen.u + 0.5) / (width / 2) - 1)
    down = np.abs((seen.v + 0.5) / (height / 2) - 1)
    return np.maximum(across, down).astype(np.float32)


def visibility_of(spec: PairsSpec) -> Visibility:
    """The visibility rule in the manifest's `pairs`."""
    return Visibility(
        spec.visibility,
        spec.splat_radius_px,
        spec.depth_tolerance,
        spec.depth_slack_m,
        spec.grazing_deg,
        spec.min_depth_m,
    )


def measured_by(view: View, spec: PairsSpec) -> MeasuredDepth | None:
    """The view's depth image, if `visibility` uses it and the view has one."""
    if spec.visibility != "depth_map" or view.depth is None:
        return None
    return MeasuredDepth(read_depth(view.depth), view.depth.camera)


def _inserted(rows: np.ndarray, value: np.ndarray | np.int16, place: np.ndarray) -> np.ndarray:
    """Insert `value` into rows (n,C) at column place (n,1); what is to the right moves on by one."""
    column, moved = np.arange(rows.shape[1]), np.roll(rows, 1, axis=1)
    return np.where(column < place, rows, np.where(column == place, value, moved))
