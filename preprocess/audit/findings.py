"""The findings of an audit, as audit.json and in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lass3d_core.files.coverage import Agreement, Coverage
from lass3d_core.files.splits import LabelledSplit
from lass3d_core.settings import to_json
from preprocess.audit.agreement import ClassRow, class_rows
from preprocess.audit.calibration_check import CheckedCamera
from preprocess.status import plural

_SHOWN_PHRASES = 12
_SHOWN_CAMERAS = 12


@dataclass(frozen=True)
class Findings:
    """Everything that an audit found.

    coverage, skipped_frames: by split. labelled, agreement: None if no training scan keeps its labels; then
    `remark` says why. pictures: file names.
    """

    dataset: str
    coverage: dict[str, Coverage]
    skipped_frames: dict[str, int]
    labelled: LabelledSplit | None
    remark: str
    agreement: Agreement | None
    calibration: list[CheckedCamera]
    pictures: list[str]


def as_json(found: Findings) -> dict[str, Any]:
    """The content of audit.json."""
    return {
        "dataset": found.dataset,
        "coverage": {split: to_json(coverage) for split, coverage in found.coverage.items()},
        "skipped_frames": found.skipped_frames,
        "labelled": to_json(found.labelled) if found.labelled else None,
        "remark": found.remark,
        "agreement": _agreement_json(found.agreement) if found.agreement else None,
        "calibration": [_camera_json(one) for one in found.calibration],
        "pictures": found.pictures,
    }


def _agreement_json(agreement: Agreement) -> dict[str, Any]:
    return {
        "share": agreement.share or 0.0,
        "classes": [to_json(row) for row in class_rows(agreement, shown=20)],
    }


def _camera_json(checked: CheckedCamera) -> dict[str, Any]:
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


def in_words(found: Findings) -> Iterator[str]:
    """The lines that `make audit` prints."""
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
        f"{labelled.protocol}, seed {labelled.seed}): {agreement.share or 0.0:.1%} of the points with an entity "
        "have the main class of its phrase"
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


def _calibration_lines(checked: list[CheckedCamera]) -> Iterator[str]:
    """A line per camera; if there are many, only for those that are in doubt."""
    yield "calibration: the image's edges on the scan's outlines, compared with chance"
    shown = checked if len(checked) <= _SHOWN_CAMERAS else [one for one in checked if one.alignment.warning]
    yield from (f"  {one}" for one in shown)
    if len(shown) < len(checked):
        yield f"  no doubt about {len(checked) - len(shown)} others; audit.json has them"
