"""The results of a table's runs: per run, per row, and against the reference row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from train.evaluate import Metrics
from train.runs.logs import column_mean, read_log
from train.tables.plan import TablePlan, TableRun
from train.tables.rows import Claim, Row
from train.tables.statistics import Interval, Verdict, differences, interval, verdict


@dataclass(frozen=True)
class RunFigures:
    """The metrics and the costs of a finished run: means over the steps; None if the log lacks them."""

    metrics: Metrics
    passes: float | None  # forward passes through any backbone, per micro-batch
    updates: float | None  # of the optimiser, per step
    seconds: float | None  # per step

    @classmethod
    def of(cls, cell: TableRun, split: str) -> RunFigures:
        """Read the folder of a finished run. Raises MissingArtifact, CorruptArtifact."""
        log = read_log(cell.plan.folder / "log.csv")
        costs = (column_mean(log, column) for column in ("passes", "updates", "seconds"))
        return cls(cell.run.evaluated(split), *costs)

    @property
    def miou(self) -> float | None:
        """mIoU in percent, over the classes that occur in truth or prediction."""
        return _percent(self.metrics.miou_absent_dropped)

    @property
    def official(self) -> float | None:
        """mIoU in percent, by the rule of the data set's official evaluator."""
        return _percent(self.metrics.miou_official)


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
    """The results of a table. figures: of each finished run, by title of the row, ratio and seed."""

    plan: TablePlan
    figures: Mapping[tuple[str, float, int], RunFigures]

    @classmethod
    def of(cls, plan: TablePlan) -> TableResults:
        """Read every finished run of `plan`. Raises CorruptArtifact."""
        finished = [cell for cell in plan.cells if cell.state == "finished"]
        split = plan.recipe.split
        return cls(plan, {(c.row.title, c.ratio, c.seed): RunFigures.of(c, split) for c in finished})

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

    def judged(self, claim: Claim, ratio: float) -> tuple[Interval | None, Verdict]:
        """The paired difference that `claim` says is positive, and the verdict."""
        gaps = differences(self.values(claim.better, ratio), self.values(claim.worse, ratio))
        difference = interval(list(gaps.values()))
        return difference, verdict(difference)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
