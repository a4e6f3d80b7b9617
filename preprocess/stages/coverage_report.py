"""The last lines of `make pairs`: what each split has, and a warning where that is next to nothing.

The counts come from the shards, so the lines are the same if every shard was fresh.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

from lass3d_core.datasets.places import IMAGES, LABELS
from lass3d_core.files.coverage import Coverage, ScanCounts
from lass3d_core.files.shards import ShardReader
from preprocess.project import SPLITS, Project
from preprocess.stages import entities, image_captions, pairs
from preprocess.stages.jsonl_shards import failures_in, read_jsonl, read_record
from preprocess.stages.stage import Failure

NEAR_ZERO = 0.01
"""A share below this is warned about. Decision: one camera to the front sees 15 to 20 % of a LiDAR scan."""

MOST_AT_ORIGIN = 0.01
"""The largest share of points at the origin that is not warned about."""


def coverage_lines(project: Project) -> Iterator[str]:
    """One line for each split that has scans, each followed by its warnings. Raises CorruptArtifact."""
    for split in SPLITS:
        counts = _counts(project, split)
        if counts:
            captioned = split in project.manifest.caption_splits
            yield f"{split}: {_sum(counts)}{'' if captioned else ' (its images are not captioned)'}"
            yield from (f"WARNING: {split}: {what}" for what in warnings(project, split, counts))


def warnings(project: Project, split: str, counts: Sequence[ScanCounts]) -> Iterator[str]:
    """What the scans of a split lack, each with its likely causes, the likeliest first.

    Decision: training reads the images of `train` alone, so the other splits may have none without a warning.
    """
    found = _sum(counts)
    yield from _label_warnings(project, split, found)
    if split == "train" and not found.scans_with_image and project.spec.views != ():
        yield _no_image(project, split)
    seen = _sum([one for one in counts if one.images])
    if seen.points and seen.with_image < NEAR_ZERO * seen.points:
        yield (
            "next to no point lies in an image, so almost none gets a text. The calibration may be of "
            "another sensor or in the wrong direction, or `views` may name another camera; `make audit` "
            "draws the points into the images"
        )
    elif split in project.manifest.caption_splits and seen.with_entity < NEAR_ZERO * seen.with_image:
        yield (
            "next to no point in an image has a phrase. The captioner may have failed or found no phrases, "
            f"or no entity reaches pairs.min_score {project.manifest.pairs.min_score:g}; `python -m "
            "preprocess preview IMAGE` shows what is found in an image"
        )
    if found.at_origin > MOST_AT_ORIGIN * found.points:
        yield (
            f"{100 * found.at_origin / found.points:.1f} % of the points lie at the origin (0, 0, 0). They "
            "are probably beams without an echo; leave them out of the point files, their labels too"
        )


def failed_images(project: Project) -> list[Failure]:
    """The images that failed in `image_captions` or `entities`, each once, in order."""
    found: dict[str, Failure] = {}
    for stage in (image_captions.STAGE, entities.STAGE):
        for block in project.blocks:
            path = stage.path_of(project, block)
            if path.exists() and read_record(path)[1]:
                found = {one.image_id: one for one in failures_in(read_jsonl(path)[1])} | found
    return [found[image_id] for image_id in sorted(found)]


def _label_warnings(project: Project, split: str, found: Coverage) -> Iterator[str]:
    place = LABELS[project.spec.reader]
    if split == "test":  # published without labels
        return
    if not found.labelled_scans:
        what = "trained" if split == "train" else "evaluated on it"
        yield f"no scan has labels, so nothing can be {what}. Labels are looked for in {place}"
    elif not found.labelled_points:
        yield "every label is ignored. The files may hold 0 alone, or `classes` may leave out all their ids"


def _no_image(project: Project, split: str) -> str:
    place = IMAGES[project.spec.reader]
    expected = any(project.dataset.images(scan_id) for scan_id in project.dataset.scan_ids(split))
    if expected:
        return f"no image can be read, so no point gets a text. Images are looked for in {place}"
    return (
        f"no scan has an image, so no point gets a text. Images are looked for in {place}. "
        "If there are none, write `views: []` into the manifest: every method trains without them"
    )


def _counts(project: Project, split: str) -> list[ScanCounts]:
    found: list[ScanCounts] = []
    for block in project.blocks:
        if block.split == split:
            with closing(ShardReader(pairs.STAGE.path_of(project, block))) as reader:
                found += reader.counts.values()
    return found


def _sum(counts: Sequence[ScanCounts]) -> Coverage:
    total = Coverage()
    for one in counts:
        total.count(one)
    return total
