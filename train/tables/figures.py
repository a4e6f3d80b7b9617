"""The results of a table's runs: per run, per row, and against the reference row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import fmean

from train.tables.plan import TablePlan, TableRun
from train.tables.rows import Claim, Row
from train.tables.run_figures import RunFigures
from train.tables.statistics import Interval, Verdict, differences, interval, verdict

QUANTITIES: dict[str, Callable[[RunFigures], float | None]] = {
    "accuracy": lambda run: run.accuracy,
    "mIoU in camera": lambda run: run.camera.miou if run.camera else None,
    "accuracy in camera": lambda run: run.camera.accuracy if run.camera else None,
}
"""What a table may show besides the mIoU of all points, in percent. mIoU: absent classes dropped."""


@dataclass(frozen=True)
class RowResult:
    """A row at a ratio.

    Decision: intervals and differences are of the mean without absent classes, as in the tables of
    docs/results.md. The rules differ only on sets so small that classes are absent. The official mean stands
    first.
    """

    row: Row
    ratio: float
    official: float | None  # mIoU in percent by the official rule, the mean over the seeds
    values: Mapping[int, float]  # seed -> mIoU in percent, absent classes dropped
    gaps: Mapping[int, float]  # seed -> mIoU minus the mIoU of the reference row, in points

    @property
    def miou(self) -> Interval | None:
        """The mean over the seeds, in percent; None if no run is finished."""
        return interval(list(self.values.values()))

    @property
    def gap(self) -> Interval | None:
        """The mean paired difference, in points; None if no seed has both runs."""
        return interval(list(self.gaps.values()))


@dataclass(frozen=True)
class TableResults:
    """The results of a table.

    figures: of each run that has any, on the table's split, by title of the row, ratio and seed.
    beside: the figures of these runs on the other splits.
    """

    plan: TablePlan
    figures: Mapping[tuple[str, float, int], RunFigures]
    beside: Mapping[tuple[str, float, int], tuple[RunFigures, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: TablePlan) -> TableResults:
        """Read every finished run of `plan`, and take the recorded ones. Raises CorruptArtifact."""
        split = plan.recipe.split
        every = {(cell.row.title, cell.ratio, cell.seed): _figures_of(cell) for cell in plan.cells}
        own = {key: one for key, runs in every.items() for one in runs if one.split == split}
        beside = {key: tuple(one for one in runs if one.split != split) for key, runs in every.items()}
        return cls(plan, own, beside)

    def entry(self, row: Row, ratio: float) -> RowResult:
        """The result of `row` at `ratio`."""
        values = self.values(row.title, ratio)
        reference = self.plan.table.reference
        gaps = {} if row.title == reference else differences(values, self.values(reference, ratio))
        runs = self.runs(row.title, ratio).values()
        officials = [run.official for run in runs if run.official is not None]
        return RowResult(row, ratio, fmean(officials) if officials else None, values, gaps)

    def runs(self, title: str, ratio: float) -> dict[int, RunFigures]:
        """The finished runs of a row: seed -> figures."""
        keys = {seed: (title, ratio, seed) for seed in self.plan.recipe.seeds}
        return {seed: self.figures[key] for seed, key in keys.items() if key in self.figures}

    def values(self, title: str, ratio: float) -> dict[int, float]:
        """The finished runs of a row that have an mIoU: seed -> percent."""
        found = {seed: run.miou for seed, run in self.runs(title, ratio).items()}
        return {seed: miou for seed, miou in found.items() if miou is not None}

    def further(self, title: str, ratio: float, quantity: str) -> tuple[Interval | None, Interval | None]:
        """One of QUANTITIES of a row, and its paired difference from the reference row.

        None without runs, and the difference of the reference row itself.
        """
        ours, theirs = (
            {seed: value for seed, run in runs.items() if (value := QUANTITIES[quantity](run)) is not None}
            for runs in (self.runs(title, ratio), self.runs(self.plan.table.reference, ratio))
        )
        gaps = {} if title == self.plan.table.reference else differences(ours, theirs)
        return interval(list(ours.values())), interval(list(gaps.values()))

    def judged(self, claim: Claim, ratio: float) -> tuple[Interval | None, Verdict]:
        """The paired difference that `claim` says is positive, and the verdict."""
        gaps = differences(self.values(claim.better, ratio), self.values(claim.worse, ratio))
        difference = interval(list(gaps.values()))
        return difference, verdict(difference)


def _figures_of(cell: TableRun) -> tuple[RunFigures, ...]:
    """The figures of a run on each split; none if it is not finished. Raises CorruptArtifact."""
    return RunFigures.read(cell.run) if cell.state == "finished" else cell.recorded
