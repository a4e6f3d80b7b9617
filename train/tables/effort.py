"""How long the runs of a table were trained: steps, how often each scan was seen, time."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import NamedTuple

from lass3d_core.progress.lines import duration
from train.tables.figures import TableResults
from train.tables.plan import TableRun

_MOST_LISTED = 6
"""Rows whose times are all listed. Of more rows, the shortest and the longest time are."""


class Effort(NamedTuple):
    """What a run of a row sees. Scans are those of a step; seen: how often each scan was, on average."""

    steps: int
    labelled: int
    unlabelled: int
    panorama: bool  # an unlabelled scan begins a panorama, which takes points of others
    labelled_seen: float
    unlabelled_seen: float

    @classmethod
    def of(cls, cell: TableRun) -> Effort:
        """Of one run. Scans are drawn in turn, so each is seen as often as another, or once more."""
        config, split = cell.plan.config, cell.run.split
        labelled = config.data.labelled_scans * config.data.accumulate
        unlabelled = config.data.unlabelled_scans * config.data.accumulate
        steps = config.schedule.steps
        return cls(
            steps,
            labelled,
            unlabelled,
            config.data.panorama and unlabelled > 0,
            steps * labelled / len(split.labelled),
            steps * unlabelled / len(split.unlabelled) if split.unlabelled else 0.0,
        )

    @property
    def words(self) -> str:
        """ "300 steps of 2 labelled and 2 unlabelled scans; each labelled one is seen 300 times, ..."."""
        seen = f"each labelled one is seen {_times(self.labelled_seen)}"
        if not self.unlabelled:
            return f"{self.steps} steps of {self.labelled} labelled scans; {seen}"
        scans = f"{self.labelled} labelled and {self.unlabelled} unlabelled scans"
        begins = ", in panoramas that begin with it" if self.panorama else ""
        other = f"each unlabelled one {_times(self.unlabelled_seen)}{begins}"
        return f"{self.steps} steps of {scans}; {seen}, {other}"

    def beside(self, usual: Effort) -> str:
        """In what it differs from the `usual` effort: "7500 steps, labelled scans alone"."""
        words = []
        if self.steps != usual.steps:
            words.append(f"{self.steps} steps")
        if self.labelled != usual.labelled:
            words.append(f"{self.labelled} labelled scans a step")
        if self.unlabelled != usual.unlabelled:
            words.append(f"{self.unlabelled} unlabelled scans a step" if self.unlabelled else "labels alone")
        if self.unlabelled and self.panorama != usual.panorama:
            words.append("panoramas of unlabelled scans" if self.panorama else "single unlabelled scans")
        if self.labelled_seen != usual.labelled_seen:
            words.append(f"each labelled scan seen {_times(self.labelled_seen)}")
        if self.unlabelled and usual.unlabelled and self.unlabelled_seen != usual.unlabelled_seen:
            words.append(f"each unlabelled one {_times(self.unlabelled_seen)}")
        return ", ".join(words)


def effort_line(filled: TableResults, ratio: float) -> str:
    """The line below a table: steps, scans and time of its rows at a ratio. Empty if no row has a run."""
    rows: dict[Effort, list[str]] = {}
    for cell in filled.plan.cells:
        if cell.ratio == ratio and cell.seed == filled.plan.recipe.seeds[0]:
            rows.setdefault(Effort.of(cell), []).append(f"*{cell.row.title}*")
    if not rows:
        return ""
    # Most rows have the same effort. Of the others the line says what differs.
    usual = max(rows, key=lambda effort: (len(rows[effort]), effort.unlabelled))
    others = [
        f"{', '.join(titles)}: {effort.beside(usual)}" for effort, titles in rows.items() if effort != usual
    ]
    words = [f"Training: {usual.words}."]
    if others:
        words.append(f"Other than that, {'; '.join(others)}.")
    return " ".join([*words, *_seconds_words(_seconds_by_row(filled, ratio))])


def _seconds_by_row(filled: TableResults, ratio: float) -> dict[str, float]:
    """Title of each row with finished runs -> the mean seconds of a run's steps."""
    found = {}
    for row in filled.plan.table.rows:
        runs = filled.runs(row.title, ratio).values()
        seconds = [run.steps * run.seconds for run in runs if run.seconds is not None]
        if seconds:
            found[row.title] = fmean(seconds)
    return found


def _seconds_words(seconds: Mapping[str, float]) -> list[str]:
    """The sentence about time; none without times."""
    if not seconds:
        return []
    listed = list(seconds)
    if len(seconds) > _MOST_LISTED:
        listed = [min(seconds, key=lambda one: seconds[one]), max(seconds, key=lambda one: seconds[one])]
    between = ", " if len(listed) == len(seconds) else " to "
    times = between.join(f"{duration(seconds[title])} (*{title}*)" for title in listed)
    return [f"The steps of a run take {times}, without the evaluation."]


def _times(count: float) -> str:
    """ "300 times"; a number below 10 has one decimal."""
    shown = f"{count:.0f}" if count >= 9.95 or count == round(count) else f"{count:.1f}"
    return "once" if shown == "1" else f"{shown} times"
