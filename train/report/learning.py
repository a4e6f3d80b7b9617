"""The training log as charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lass3d_core.paper.metrics import rule_in_words
from train.report.curves import Curve, chart
from train.report.runs import RunRecord

_TITLES = {
    "loss": "Whole objective, Eq. (9)",
    "ce_l": "Labelled cross-entropy, Eq. (7)",
    "ce_u": "Pseudo-label cross-entropy, Eq. (8)",
    "kl": "Distillation into the adapter, Eq. (3)",
    "pe": "Negative learning, Eq. (6)",
    "align": "Alignment with the text",
    "consistency": "Consistency with the teacher",
    "query": "Which text is the point's own (extension)",
    "reliable_share": "Share of reliable points, Eq. (4)",
    "agreement": "Student and teacher agree",
    "text_share": "Share of points with text",
    "rate": "Learning rate",
}
"""Columns of the log that are always shown. The page folds the other columns away."""


def learning(runs: Sequence[RunRecord]) -> dict[str, Any] | None:
    """Chart the log of the page's run, which comes first, over the other runs; None if it has no log.

    names: the runs in the order of their strokes. further: the charts that are folded away.
    """
    own = runs[0].log
    if not own:
        return None
    rule = next((rule_in_words(one.absent) for one in runs[0].metrics.values()), "")
    unit = f"per cent, official rule: {rule}" if rule else "per cent, official rule"
    if part := scans_behind(runs):
        unit = f"{unit}; {part}"
    validation = chart("Validation mIoU", _curves(runs, "val_miou", 100.0), unit=unit)
    titles = {name: title for name, title in _TITLES.items() if name in own}
    rest = [name for name in own if name not in _TITLES and name not in ("step", "val_miou", "val_scans")]
    shown = [chart(title, _curves(runs, name), smooth=name != "rate") for name, title in titles.items()]
    return {
        "names": [run.title for run in runs],
        "shown": [validation, *shown],
        "further": [chart(name, _curves(runs, name), smooth=True) for name in rest],
    }


def scans_behind(runs: Sequence[RunRecord]) -> str:
    """On how many scans of the validation split the curves stand; "" if all stand on the whole split."""
    parts = {run.title: _part_of_split(run) for run in runs if "val_miou" in run.log}
    if len(set(parts.values())) <= 1:
        return next(iter(parts.values()), "")
    return ", ".join(f"{title} {part or 'on all scans'}" for title, part in parts.items())


def _part_of_split(run: RunRecord) -> str:
    """ "on 400 of 4071 scans"; "" if the validations of the run saw the whole split."""
    seen = run.log.get("val_scans", np.empty(0))
    counts = seen[np.isfinite(seen)].astype(int).tolist()
    whole = run.metrics["val"].scans if "val" in run.metrics else None
    if not counts or set(counts) == {whole} or (whole is None and not run.config.schedule.validate_scans):
        return ""
    # A run that goes on with other settings may see another number of scans than before.
    numbers = " to ".join(str(number) for number in sorted({min(counts), max(counts)}))
    return f"on {numbers} of {whole} scans" if whole is not None else f"on {numbers} scans"


def _curves(runs: Sequence[RunRecord], column: str, scale: float = 1.0) -> list[Curve]:
    return [
        Curve(run.title, run.log["step"], run.log[column] * scale, rank)
        for rank, run in enumerate(runs)
        if column in run.log
    ]
