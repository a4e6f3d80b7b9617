"""The pictures of an audit: some views of some scans of each split."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from lass3d_core.files.atomic import atomic_write
from lass3d_core.files.images import read_image
from lass3d_core.files.shards import ShardsByScan
from lass3d_core.files.splits import spread
from lass3d_core.geometry.visible_pixels import visible_pixels
from lass3d_core.records import PairedScan, View
from preprocess.audit.calibration_check import VIEWS, left_out_if_unreadable, seen_points
from preprocess.audit.legends import ENTITIES, NO_ENTITIES, OUTLINES, legend, of_points
from preprocess.audit.outlines import depth_outline
from preprocess.audit.overlays import entity_panel, outline_panel, point_colours, point_panel, stacked
from preprocess.project import SPLITS, Project
from preprocess.stages import entities, pairing

_SCANS_PER_SPLIT = 2


def write_pictures(project: Project, shards: ShardsByScan, labelled: Collection[str]) -> list[Path]:
    """Write `audit/<image id>.png` for two scans of each split, and remove older pictures.

    Scans in `labelled` come first, with points coloured by label. Labels of other scans are not read.
    """
    written = list(_pictures(project, shards, labelled))
    for other in set((project.folder / "audit").glob("*.png")) - set(written):
        other.unlink()
    return written


def _pictures(project: Project, shards: ShardsByScan, labelled: Collection[str]) -> Iterator[Path]:
    for split in SPLITS:
        scan_ids = sorted(project.dataset.scan_ids(split), key=lambda scan_id: scan_id not in labelled)
        for scan_id in scan_ids[:_SCANS_PER_SPLIT]:
            shard = project.folder / entities.NAME / f"{project.block_of(scan_id).name}.jsonl"
            found = entities.entities_in(shard)
            scan = shards[scan_id].read(scan_id, scan_id in labelled)
            for view in spread(project.dataset.views(scan_id), VIEWS):
                with left_out_if_unreadable():
                    yield _picture(project, scan, view, found)


def _picture(project: Project, scan: PairedScan, view: View, found: pairing.Entities) -> Path:
    spec = project.manifest.pairs
    whole = [one for one in found.get(view.image_id, ()) if one.look == "whole"]
    kept = pairing.confident(whole, spec.min_score)
    slot_of = {name: i for i, name in enumerate(sorted({one.phrase for one in kept}))}
    owner = pairing.painted(kept, slot_of, view.camera.size_hw, spec.overlap, view.image_id)
    measured = pairing.measured_by(view, spec)
    seen = visible_pixels(view.camera, scan.points, pairing.visibility_of(spec), measured, owner)
    outline = depth_outline(view.camera, seen_points(view, scan.points, spec))
    image = read_image(view.image)
    space = project.dataset.label_space
    points = point_panel(image, seen, point_colours(scan.labels, seen, space))
    picture = stacked(
        points,
        legend(of_points(scan.labels, seen, space), points.width),
        entity_panel(image, kept, owner),
        legend(ENTITIES if kept else NO_ENTITIES, points.width),
        outline_panel(image, view.camera, outline),
        legend(OUTLINES, points.width),
    )
    path = project.folder / "audit" / f"{view.image_id.replace('/', '-')}.png"
    with atomic_write(path) as part:
        picture.save(part, format="PNG")
    return path
