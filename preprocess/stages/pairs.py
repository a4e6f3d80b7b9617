"""Stage `pairs`: which image and which entity each point of a scan is paired with (Sec. 3.2, Eq. 2).

Points are projected into the views; a point's image is the view that sees it best centred, its entity the one
that owns its pixel. What is stored is *which* texts, never their embeddings, so another text encoder changes
no pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from lass3d_core.datasets import Block
from lass3d_core.errors import DataError
from lass3d_core.files.fingerprint import Record, digest
from lass3d_core.files.images import read_depth
from lass3d_core.files.masks import run_edges
from lass3d_core.files.pair_index import IndexedShard, LabelledLists, PairIndex
from lass3d_core.files.shards import ShardHeader, write_shard
from lass3d_core.files.splits import read_list
from lass3d_core.geometry.point_runs import PointRuns
from lass3d_core.geometry.visibility import Visibility
from lass3d_core.geometry.visible_pixels import MeasuredDepth, VisiblePixels, at_pixels, visible_pixels
from lass3d_core.manifest.schema import PairsSpec
from lass3d_core.records import NONE, Camera, Entity, PairedScan, PointTextPairs, Scan, View
from lass3d_core.settings import to_json
from preprocess.project import Failure, Job, Make, Project, Tick
from preprocess.stages import entities
from preprocess.stages.earlier_views import EarlierView, earlier_views, lenders
from preprocess.stages.jsonl_shards import read_digest

NAME = "pairs"
SCHEMA = 1
PRODUCER = "lass3d 0.1.0"

Entities = Mapping[str, Sequence[Entity]]
"""image_id -> the entities of that image."""


def record(project: Project, block: Block) -> Record:
    """What a shard is made from: the thresholds, points, labels and cameras, and the block's entities.

    The entities' content holds the size of each image. Neither captions nor the text table are read. Left out
    is an extension that is off.
    """
    params = to_json(project.manifest.pairs)
    if not params["earlier_scans"]:
        del params["earlier_scans"]
    return Record(
        stage=NAME,
        schema=SCHEMA,
        params={"pairs": params, "compact": project.manifest.compact},
        inputs=project.identities(project.points_of(block)),
        upstream={
            f"{entities.NAME} {lender.name}": read_digest(_entities_of(project, lender), "content")
            for lender in lenders(project, block)
        },
    )


def opened(project: Project) -> Make:
    """Nothing is loaded; the returned function makes one shard."""
    spec = project.manifest.pairs

    def make(job: Job, tick: Tick) -> list[Failure]:
        assert job.block is not None
        found: dict[str, Sequence[Entity]] = {}
        for lender in lenders(project, job.block):
            found |= entities.entities_in(_entities_of(project, lender))
        back = project.earlier_scans_of(job.block)

        def scans() -> Iterator[PairedScan]:
            for scan_id in job.block.scan_ids:
                earlier = earlier_views(project.dataset, scan_id, back)
                yield pair(project.dataset.read_scan(scan_id), found, spec, earlier)
                tick(1)

        write_shard(job.path, _header(project, job.block, job.record), scans(), project.manifest.compact)
        return []

    return make


def pair_index(project: Project, records: Mapping[Block, Record]) -> PairIndex:
    """What tells the trainer that the pairs are complete. Raises DataError for a wrong labelled list."""
    spec = project.spec.labelled
    train = project.dataset.scan_ids("train")
    shards = tuple(
        IndexedShard(f"{block.name}.h5", block.split, len(block.scan_ids), digest(record))
        for block, record in records.items()
    )
    lists = {ratio: read_list(path, train) for ratio, path in spec.lists.items()}
    names = project.dataset.label_space.names
    return PairIndex(project.name, names, LabelledLists(spec.protocol, lists), shards)


def pair(scan: Scan, found: Entities, spec: PairsSpec, earlier: Sequence[EarlierView] = ()) -> PairedScan:
    """A scan with the image slots and the entity slot of every point.

    image: up to max_views views that see the point, best centred first. entity: that of the best-centred view
    whose pixel has one, kept in image or not. Decision: the paper does not say which of several views counts;
    near the border an object is cut and the lens is worst, so the centre is trusted. A view of an `earlier`
    scan counts only where no later one sees the point: what moves and how poses drift adds up. Raises
    DataError where masks and image differ in size or a depth image is missing or unreadable.
    """
    views = [EarlierView(view, 0) for view in scan.views] + list(earlier)
    kept = {one.view.image_id: confident(found.get(one.view.image_id, ()), spec.min_score) for one in views}
    phrases = tuple(sorted({one.phrase for of_image in kept.values() for one in of_image}))
    slot_of = {phrase: slot for slot, phrase in enumerate(phrases)}
    best = BestViews(len(scan.points), spec.max_views)
    runs = PointRuns(scan.points)
    for slot, (view, scans_back) in enumerate((one.view, one.scans_back) for one in views):
        owner = painted(kept[view.image_id], slot_of, view.camera.size_hw, spec.overlap, view.image_id)
        seen = visible_pixels(view.camera, runs, visibility_of(spec), measured_by(view, spec), owner)
        entity = at_pixels(owner, seen.v, seen.u)
        best.add(slot, seen.point, distance_from_centre(seen, view.camera) + np.float32(scans_back), entity)
    image_ids = tuple(one.view.image_id for one in views)
    pairs = PointTextPairs(best.image, best.entity, image_ids, phrases)
    return PairedScan(scan.scan_id, scan.points, scan.features, scan.labels, pairs)


class BestViews:
    """Of each of N points the max_views views nearest to it, while the views come one after another.

    A scene has hundreds of views, so none is kept that is no longer among the best. Near is the distance of
    the point's pixel from the middle of the image; of equally near views the one that came first is nearer.
    image (N,max_views) int16: slots of those views, nearest first, NONE where fewer see the point. entity
    (N,) int16: that of the nearest view that has one, whether or not that view is among the kept, else NONE.
    """

    def __init__(self, count: int, max_views: int) -> None:
        self.image = np.full((count, max_views), NONE, np.int16)
        self.entity = np.full(count, NONE, np.int16)
        self._distance = np.full((count, max_views), np.inf, np.float32)
        self._entity_distance = np.full(count, np.inf, np.float32)

    def add(self, slot: int, point: np.ndarray, distance: np.ndarray, entity: np.ndarray) -> None:
        """The view `slot` sees the points (n,) int64, each once, at `distance` (n,) float32, in the pixels of
        `entity` (n,) int16."""
        nearer = np.flatnonzero((distance < self._entity_distance[point]) & (entity != NONE))
        self._entity_distance[point[nearer]] = distance[nearer]
        self.entity[point[nearer]] = entity[nearer]
        nearer = np.flatnonzero(distance < self._distance[point, -1])
        self._insert(slot, point[nearer], distance[nearer, None])

    def _insert(self, slot: int, point: np.ndarray, distance: np.ndarray) -> None:
        """Put the view into each point's row, behind all that are as near; the last of the row falls out."""
        distances, images = self._distance[point], self.image[point]
        place = (distances <= distance).sum(axis=1, keepdims=True)
        column = np.arange(distances.shape[1])
        self._distance[point] = _inserted(distances, distance, column, place)
        self.image[point] = _inserted(images, np.int16(slot), column, place)


def confident(found: Sequence[Entity], min_score: float) -> list[Entity]:
    """The entities whose score is at least min_score."""
    return [entity for entity in found if entity.score >= min_score]


def painted(
    found: Sequence[Entity],
    slot_of: Mapping[str, int],
    size_hw: tuple[int, int],
    overlap: str,
    image_id: str = "",
) -> np.ndarray:
    """Which phrase owns each pixel: (H,W) int8 of slots, int16 above 127 phrases; NONE where no mask lies.

    One entity owns a pixel: the smallest (ties: the higher score), or the highest score (ties: the smaller);
    then the one found first. Decision: the paper does not say; a small mask is the thing, a large one what it
    stands on. Masks are painted run by run, never pixel by pixel.
    """
    wrong = next((entity for entity in found if tuple(entity.mask.size_hw) != tuple(size_hw)), None)
    if wrong is not None:
        raise DataError(
            f"image {image_id}: the mask of {wrong.phrase!r} is {wrong.mask.size_hw}, the image {size_hw}; "
            "delete its entities shard and run `make captions`"
        )
    of_mask = [run_edges(entity.mask) for entity in found]
    area = [(edges[2::2] - edges[1:-1:2]).sum() for edges in of_mask]
    score = [-entity.score for entity in found]
    keys = {"smallest_area": (area, score), "highest_score": (score, area)}[overlap]
    edges = np.unique(np.concatenate([[0, size_hw[0] * size_hw[1]], *of_mask]))
    dtype = np.int8 if len(slot_of) <= 127 else np.int16  # points look it up in the processor's cache
    owner = np.full(len(edges) - 1, NONE, dtype)  # of the pixels between two edges, which no mask divides
    for i in np.lexsort(keys[::-1])[::-1]:  # the best is painted last
        pieces = np.diff(np.searchsorted(edges, of_mask[i]))  # of each run
        np.copyto(owner, slot_of[found[i].phrase], where=np.repeat(np.arange(len(pieces)) % 2 == 1, pieces))
    return np.repeat(owner, np.diff(edges)).reshape(size_hw, order="F")


def distance_from_centre(seen: VisiblePixels, camera: Camera) -> np.ndarray:
    """How far from the middle of the image each seen pixel lies: (n,) float32 in [0,1], 1 at the border."""
    height, width = camera.size_hw
    across = np.abs((seen.u + 0.5) / (width / 2) - 1)
    down = np.abs((seen.v + 0.5) / (height / 2) - 1)
    return np.maximum(across, down).astype(np.float32)


def visibility_of(spec: PairsSpec) -> Visibility:
    """The part of the manifest's `pairs` that the geometry asks for."""
    return Visibility(
        spec.visibility,
        spec.splat_radius_px,
        spec.depth_tolerance,
        spec.depth_slack_m,
        spec.grazing_deg,
        spec.min_depth_m,
    )


def measured_by(view: View, spec: PairsSpec) -> MeasuredDepth | None:
    """What the view's depth camera measured, if `visibility` asks for it and the view has one."""
    if spec.visibility != "depth_map" or view.depth is None:
        return None
    return MeasuredDepth(read_depth(view.depth), view.depth.camera)


def _inserted(
    rows: np.ndarray, value: np.ndarray | np.int16, column: np.ndarray, place: np.ndarray
) -> np.ndarray:
    """rows (n,C) with `value` at column place (n,1); what stood there and behind it moves to the right."""
    moved = np.roll(rows, 1, axis=1)
    return np.where(column < place, rows, np.where(column == place, value, moved))


def _entities_of(project: Project, block: Block) -> Path:
    return project.folder / entities.NAME / f"{block.name}.jsonl"


def _header(project: Project, block: Block, record: Record) -> ShardHeader:
    space = project.dataset.label_space
    return ShardHeader(
        dataset=project.name,
        shard=block.name,
        split=block.split,
        class_names=space.names,
        colours=space.colours,
        raw_ids=space.raw_of_train_id,
        feature_names=project.dataset.feature_names,
        record=record,
        producer=PRODUCER,
    )
