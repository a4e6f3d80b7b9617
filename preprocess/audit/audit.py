"""Look before you train: what got text, does it agree with the labels, does the calibration fit, pictures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from lass3d_core.errors import DataError, StaleArtifact
from lass3d_core.files.atomic import write_text
from lass3d_core.files.coverage import Agreement, Coverage
from lass3d_core.files.shards import ShardReader, ShardsByScan
from lass3d_core.files.splits import LabelledSplit, labelled_split
from lass3d_core.records import PairedScan
from lass3d_core.settings import to_json
from preprocess.audit.agreement import ClassRow, class_rows
from preprocess.audit.calibration_check import Checked, check_calibration
from preprocess.audit.pictures import write_pictures
from preprocess.project import SPLITS, Project
from preprocess.stages import pairs
from preprocess.stages.plan import STAGES, plan
from preprocess.status import plural, state_of

_SHOWN_PHRASES = 12
_SHOWN_CAMERAS = 12


@runtime_checkable
class SkipsFrames(Protocol):
    """A reader that leaves out frames whose pose is unknown, and counts them."""

    def skipped_frames(self, scan_id: str) -> int:
        """How many of one scan's frames."""


@dataclass(frozen=True)
class Audit:
    """Everything that was found; audit.json holds it.

    agreement: None where no training scan keeps its labels, and `remark` says why.
    """

    dataset: str
    coverage: dict[str, Coverage]
    skipped_frames: dict[str, int]
    labelled: LabelledSplit | None
    remark: str
    agreement: Agreement | None
    calibration: list[Checked]
    pictures: list[str]


def audit(project: Project, ratio: float, seed: int) -> str:
    """The audit in words; the whole of it and pictures in artifacts/<data set>/audit.

    Labels are read of the training scans alone that keep theirs at `ratio` percent and `seed`.
    Raises MissingArtifact, StaleArtifact when the pairs are not up to date, DataError.
    """
    planned = plan(project, STAGES[pairs.NAME])
    if not planned.fresh:
        raise StaleArtifact(f"pairs: {state_of(planned)}; run `make captions pairs`")
    shards = Shards(project)
    labelled, remark = _labelled(project, shards, ratio, seed)
    known = labelled.labelled if labelled else ()
    found = Audit(
        dataset=project.name,
        coverage={split: _coverage(project, shards, split) for split in SPLITS},
        skipped_frames=_skipped_frames(project),
        labelled=labelled,
        remark=remark,
        agreement=_agreement(project, shards, known) if known else None,
        calibration=check_calibration(project, lambda scan_id: shards.read(scan_id).points),
        pictures=[path.name for path in write_pictures(project, shards.read, known)],
    )
    folder = project.folder / "audit"
    write_text(folder / "audit.json", json.dumps(as_json(found), indent=1) + "\n")
    written = f"audit.json and {len(found.pictures)} pictures written to {folder}"
    return "\n".join([*_lines(found), written])


class Shards:
    """The pair shards by scan. Labels are read only on demand."""

    def __init__(self, project: Project) -> None:
        folder = project.folder / pairs.NAME
        self._shard_of = ShardsByScan()
        for block in project.blocks:
            self._shard_of.add(ShardReader(folder / f"{block.name}.h5"), block.scan_ids)

    def read(self, scan_id: str, with_labels: bool = False) -> PairedScan:
        """One scan. Raises CorruptArtifact, MissingArtifact."""
        return self._shard_of[scan_id].read(scan_id, with_labels)

    def has_labels(self, scan_id: str) -> bool:
        """Whether it has labels; they are not read."""
        return self._shard_of[scan_id].has_labels(scan_id)


def _labelled(project: Project, shards: Shards, ratio: float, seed: int) -> tuple[LabelledSplit | None, str]:
    """Which training scans keep their labels; none, and why, where the ratio or the list gives none."""
    train = project.dataset.scan_ids("train")
    without = {scan_id for scan_id in train if not shards.has_labels(scan_id)}
    try:
        return labelled_split(project.spec.labelled, train, ratio, seed, without), ""
    except DataError as error:
        return None, f"entities are not compared with labels: {error}"


def _coverage(project: Project, shards: Shards, split: str) -> Coverage:
    coverage = Coverage()
    for scan_id in project.dataset.scan_ids(split):
        coverage.add(shards.read(scan_id))
    return coverage


def _agreement(project: Project, shards: Shards, scan_ids: tuple[str, ...]) -> Agreement:
    agreement = Agreement(project.dataset.label_space.names)
    for scan_id in scan_ids:
        agreement.add(shards.read(scan_id, with_labels=True))
    return agreement


def _skipped_frames(project: Project) -> dict[str, int]:
    """Per split, where the reader counts them."""
    dataset = project.dataset
    if not isinstance(dataset, SkipsFrames):
        return {}
    return {split: sum(map(dataset.skipped_frames, dataset.scan_ids(split))) for split in SPLITS}


def as_json(found: Audit) -> dict[str, Any]:
    """The whole audit as audit.json holds it."""
    return {
        "dataset": found.dataset,
        "coverage": {split: to_json(coverage) for split, coverage in found.coverage.items()},
        "skipped_frames": found.skipped_frames,
        "labelled": to_json(found.labelled) if found.labelled else None,
        "remark": found.remark,
        "agreement": _agreement_json(found.agreement) if found.agreement else None,
        "calibration": [_checked_json(one) for one in found.calibration],
        "pictures": found.pictures,
    }


def _agreement_json(agreement: Agreement) -> dict[str, Any]:
    return {
        "share": agreement.share or 0.0,
        "classes": [to_json(row) for row in class_rows(agreement, shown=20)],
    }


def _checked_json(checked: Checked) -> dict[str, Any]:
    alignment = checked.alignment
    return {
        "split": checked.split,
        "sequence": checked.sequence,
        "camera": checked.camera,
        "images": alignment.images,
        "points": alignment.points,
        "warning": alignment.warning,
        "given": to_json(alignment.given),
        "nudged": [to_json(nudge) | to_json(fit) for nudge, fit in alignment.nudged.items()],
    }


def _lines(found: Audit) -> Iterator[str]:
    for split, coverage in found.coverage.items():
        skipped = found.skipped_frames.get(split, 0)
        left_out = f"; {plural(skipped, 'frame')} without a pose left out" if skipped else ""
        if coverage.scans:
            yield f"{split}: {coverage}{left_out}"
    phrases = sum((coverage.phrases for coverage in found.coverage.values()), Counter[str]())
    total = max(phrases.total(), 1)
    common = ", ".join(f"{phrase} {n / total:.1%}" for phrase, n in phrases.most_common(_SHOWN_PHRASES))
    yield f"{len(phrases)} phrases, the most frequent by points: {common}"
    yield ""
    if found.agreement is None or found.labelled is None:
        yield found.remark
    else:
        yield from _agreement_lines(found.agreement, found.labelled)
    yield ""
    yield from _calibration_lines(found.calibration)


def _agreement_lines(agreement: Agreement, labelled: LabelledSplit) -> Iterator[str]:
    yield (
        f"entities and labels on {plural(len(labelled.labelled), 'labelled scan')} ({labelled.ratio:g} %, "
        f"{labelled.protocol}, seed {labelled.seed}): {agreement.share or 0.0:.1%} of the points with an "
        "entity have the main class of its phrase"
    )
    rows = list(class_rows(agreement))
    width = max(len(row.name) for row in rows) if rows else 0
    yield f"{'class':{width}} {'points':>9} {'entity':>7} {'agree':>6}  most frequent phrases (purity)"
    yield from (_class_line(row, width) for row in rows)


def _class_line(row: ClassRow, width: int) -> str:
    phrases = ", ".join(
        f"{one.phrase} ({one.purity:.0%}{'' if one.main_class == row.name else f' {one.main_class}'})"
        for one in row.phrases
    )
    agrees = f"{row.agrees:6.0%}" if row.with_entity else f"{'-':>6}"
    return f"{row.name:{width}} {row.points:9d} {row.with_entity:7.0%} {agrees}  {phrases}"


def _calibration_lines(checked: list[Checked]) -> Iterator[str]:
    """Every camera of every sequence; where they are many, those in doubt."""
    yield "calibration: the image's edges on the scan's outlines, compared with chance"
    shown = checked if len(checked) <= _SHOWN_CAMERAS else [one for one in checked if one.alignment.warning]
    yield from (f"  {one}" for one in shown)
    if len(shown) < len(checked):
        yield f"  no doubt about {len(checked) - len(shown)} others; audit.json has them"
