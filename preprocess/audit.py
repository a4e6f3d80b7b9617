"""Look before you train: how many points got text, which phrases are frequent, overlay pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lass3d_core.atomic import whole_file
from lass3d_core.errors import StaleArtifact
from lass3d_core.geometry import visible_pixels
from lass3d_core.images import read_image
from lass3d_core.pair_index import read_index
from lass3d_core.records import NONE, PairedScan
from lass3d_core.shards import ShardReader
from preprocess import entities, pairs
from preprocess.overlays import two_panels
from preprocess.project import SPLITS, Project
from preprocess.stages import STAGES, plan
from preprocess.status import state_of

_PICTURES_PER_SPLIT = 2
_SHOWN_PHRASES = 12


@dataclass
class Coverage:
    """Counts over the scans of a split."""

    scans: int = 0
    points: int = 0
    with_image: int = 0
    with_entity: int = 0

    def add(self, scan: PairedScan) -> None:
        self.scans += 1
        self.points += len(scan.points)
        self.with_image += int((scan.pairs.image != NONE).any(axis=1).sum())
        self.with_entity += int((scan.pairs.entity != NONE).sum())

    def __str__(self) -> str:
        of_points = max(self.points, 1)
        return (
            f"{self.scans} scans, {self.points} points, {self.with_image / of_points:.1%} with an image, "
            f"{self.with_entity / of_points:.1%} with an entity"
        )


def audit(project: Project) -> str:
    """Coverage per split, the most frequent phrases by points, and overlay pictures in artifacts/<data
    set>/audit.

    Raises MissingArtifact, StaleArtifact when the pairs are not up to date.
    """
    planned = plan(project, STAGES[pairs.NAME])
    if not planned.fresh:
        raise StaleArtifact(f"pairs: {state_of(planned)}; run `make captions pairs`")
    lines, frequent = [], Counter[str]()
    for split in SPLITS:
        coverage = Coverage()
        for scan in _scans(project, split):
            coverage.add(scan)
            frequent += _points_per_phrase(scan)
        lines.append(f"{split}: {coverage}")
    total = max(frequent.total(), 1)
    common = ", ".join(
        f"{phrase} {count / total:.1%}" for phrase, count in frequent.most_common(_SHOWN_PHRASES)
    )
    written = list(_pictures(project))
    lines += [
        f"{len(frequent)} phrases, the most frequent by points: {common}",
        f"{len(written)} pictures written to {project.folder / 'audit'}",
    ]
    return "\n".join(lines)


def _scans(project: Project, split: str) -> Iterator[PairedScan]:
    folder = project.folder / pairs.NAME
    for name in read_index(folder).files(split):
        reader = ShardReader(folder / name)
        try:
            yield from reader.scans()
        finally:
            reader.close()


def _points_per_phrase(scan: PairedScan) -> Counter[str]:
    slots = scan.pairs.entity[scan.pairs.entity != NONE]
    counts = np.bincount(slots, minlength=len(scan.pairs.phrases))
    return Counter({phrase: int(count) for phrase, count in zip(scan.pairs.phrases, counts) if count})


def _pictures(project: Project) -> Iterator[Path]:
    """Write the overlay of every view of the first scans of each split."""
    for block in {block.split: block for block in reversed(project.blocks)}.values():
        found = entities.entities_in(project.folder / entities.NAME / f"{block.name}.jsonl")
        for scan_id in block.scan_ids[:_PICTURES_PER_SPLIT]:
            yield from _pictures_of(project, scan_id, found)


def _pictures_of(project: Project, scan_id: str, found: pairs.Entities) -> Iterator[Path]:
    spec, scan = project.manifest.pairs, project.dataset.read_scan(scan_id)
    for view in scan.views:
        kept = pairs.confident(found.get(view.image_id, ()), spec.min_score)
        slot_of: Mapping[str, int] = {name: i for i, name in enumerate(sorted({one.phrase for one in kept}))}
        owner = pairs.painted(kept, slot_of, view.camera.size_hw, spec.overlap, view.image_id)
        seen = visible_pixels(
            view.camera, scan.points, pairs.visibility_of(spec), pairs.measured_by(view, spec), owner
        )
        image, space = read_image(view.image), project.dataset.label_space
        picture = two_panels(image, scan, seen, space, kept, owner)
        path = project.folder / "audit" / f"{view.image_id.replace('/', '-')}.png"
        with whole_file(path) as part:
            picture.save(part, format="PNG")
        yield path
