"""The findings of an audit, as audit.json and in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from lass3d_core.files.coverage import Coverage
from lass3d_core.files.splits import LabelledSplit
from lass3d_core.settings import to_json
from preprocess.audit import words
from preprocess.audit.calibration_check import CheckedCamera
from preprocess.audit.verdict import CAUSES, USUAL, verdict_of
from preprocess.audit.words import WordFindings
from preprocess.status import plural

_SHOWN_PHRASES = 12
_SHOWN_CAMERAS = 12


@dataclass(frozen=True)
class Lacking:
    """How many scans of a split have no point with an image, and how many have no labels."""

    scans: int
    image: int
    labels: int

    def __str__(self) -> str:
        return f"of {plural(self.scans, 'scan')} {self.image} without an image, {self.labels} without labels"


@dataclass(frozen=True)
class Findings:
    """Everything that an audit found."""

    dataset: str
    coverage: dict[str, Coverage]  # by split
    lacking: dict[str, Lacking]  # by split
    skipped_frames: dict[str, int]  # by split
    labelled: LabelledSplit | None  # None, like `words`, if no training scan keeps its labels
    remark: str  # why none does, else empty
    words: WordFindings | None
    calibration: list[CheckedCamera]
    pictures: list[str]  # file names


def as_json(found: Findings) -> dict[str, Any]:
    """The content of audit.json."""
    return {
        **vars(found),
        "coverage": to_json(found.coverage),
        "lacking": to_json(found.lacking),
        "labelled": to_json(found.labelled),
        "words": words.as_json(found.words) if found.words else None,
        "calibration": [_camera_json(one) for one in found.calibration],
    }


def _camera_json(checked: CheckedCamera) -> dict[str, Any]:
    alignment, verdict = checked.alignment, verdict_of(checked.alignment)
    return {
        "split": checked.split,
        "sequence": checked.sequence,
        "camera": checked.camera,
        "images": alignment.images,
        "points": alignment.points,
        "reading": verdict.reading,
        "warning": verdict.words if verdict.warns else "",
        "given": to_json(alignment.given),
        "error": alignment.error,
        "nudged": [to_json(nudge) | to_json(fit) for nudge, fit in alignment.nudged.items()],
    }


def in_words(found: Findings) -> Iterator[str]:
    """The lines that `make audit` prints."""
    for split, coverage in found.coverage.items():
        skipped, lacking = found.skipped_frames.get(split, 0), found.lacking[split]
        left_out = f"; {plural(skipped, 'frame')} without a pose left out" if skipped else ""
        if coverage.scans:
            yield f"{split}: {coverage}{left_out}"
            yield from ([f"  {lacking}"] if lacking.image or lacking.labels else [])
    yield _phrases_line(found.coverage.values())
    yield ""
    if found.words is None or found.labelled is None:
        yield found.remark
    else:
        yield from words.in_words(found.words, found.labelled)
    yield ""
    yield from _calibration_lines(found.calibration)
    yield ""


def _phrases_line(coverage: Iterable[Coverage]) -> str:
    phrases = sum((one.phrases for one in coverage), Counter[str]())
    total = phrases.total()
    if not total:
        return "no point has a phrase"
    common = ", ".join(f"{phrase} {n / total:.1%}" for phrase, n in phrases.most_common(_SHOWN_PHRASES))
    return f"{plural(len(phrases), 'phrase')}, the most frequent by points: {common}"


def _calibration_lines(checked: list[CheckedCamera]) -> Iterator[str]:
    """A line per camera; if there are many, only for those that are in doubt."""
    if not checked:
        yield "calibration: no scan has an image, so there is nothing to compare"
        return
    yield f"calibration: the image's edges on the scan's outlines, compared with chance ({USUAL})"
    doubted = [one for one in checked if verdict_of(one.alignment).reading != "fits"]
    shown = checked if len(checked) <= _SHOWN_CAMERAS else doubted
    yield from (f"  {one}" for one in shown)
    if len(shown) < len(checked):
        yield f"  no doubt about {len(checked) - len(shown)} others; audit.json has them"
    if any(verdict_of(one.alignment).warns for one in checked):
        yield f"  what causes it: {CAUSES}"
