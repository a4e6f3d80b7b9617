"""The findings of an audit, as audit.json and in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lass3d_core.files.coverage import Agreement, Coverage
from lass3d_core.files.splits import LabelledSplit
from lass3d_core.settings import to_json
from preprocess.audit.calibration_check import CheckedCamera
from preprocess.status import plural

_SHOWN_PHRASES = 12
_SHOWN_CAMERAS = 12


@dataclass(frozen=True)
class PhraseOfClass:
    """A phrase on the points of a class."""

    phrase: str
    share: float  # of the class's points with an entity
    main_class: str  # the class on which most of the phrase's points lie
    purity: float  # share of the phrase's points that lie on its main class


@dataclass(frozen=True)
class ClassRow:
    """How well entities and labels agree on one class."""

    name: str
    points: int  # labelled points of the class
    with_entity: float  # share of these points
    agrees: float  # share of the points with an entity whose phrase has this class as its main class
    phrases: tuple[PhraseOfClass, ...]  # the most frequent first


@dataclass(frozen=True)
class Findings:
    """Everything that an audit found."""

    dataset: str
    coverage: dict[str, Coverage]  # by split
    skipped_frames: dict[str, int]  # by split
    labelled: LabelledSplit | None  # None, like `agreement`, if no training scan keeps its labels
    remark: str  # why none does, else empty
    agreement: Agreement | None
    calibration: list[CheckedCamera]
    pictures: list[str]  # file names


def class_rows(agreement: Agreement, shown: int = 3) -> Iterator[ClassRow]:
    """Yield one row for each class that occurs, with at most `shown` phrases."""
    main = agreement.main_classes()
    for train_id in np.flatnonzero(agreement.points).tolist():
        name, points = agreement.class_names[train_id], int(agreement.points[train_id])
        on_class = {one: int(row[train_id]) for one, row in agreement.of_phrase.items() if row[train_id]}
        total = sum(on_class.values())
        agrees = sum(n for phrase, n in on_class.items() if main[phrase].name == name) / max(total, 1)
        phrases = tuple(
            PhraseOfClass(phrase, on_class[phrase] / total, main[phrase].name, main[phrase].purity)
            for phrase in sorted(on_class, key=lambda phrase: (-on_class[phrase], phrase))[:shown]
        )
        yield ClassRow(name, points, total / points, agrees, phrases)


def as_json(found: Findings) -> dict[str, Any]:
    """The content of audit.json."""
    agreement = found.agreement
    rows = [to_json(row) for row in class_rows(agreement, shown=20)] if agreement else []
    return {
        **vars(found),
        "coverage": to_json(found.coverage),
        "labelled": to_json(found.labelled),
        "agreement": {"share": agreement.share or 0.0, "classes": rows} if agreement else None,
        "calibration": [_camera_json(one) for one in found.calibration],
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
        f"{labelled.protocol}, seed {labelled.seed}): {agreement.share or 0.0:.1%} of the points with "
        "an entity have the main class of its phrase"
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
