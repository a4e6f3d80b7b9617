"""What the runs of a table reached: per run, per row, and against the row of reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from train.evaluate import Metrics
from train.runs.logs import read_log
from train.tables.plan import Cell, TablePlan
from train.tables.rows import Claim, Row
from train.tables.statistics import Interval, Verdict, differences, interval, verdict


@dataclass(frozen=True)
class RunFigures:
    """What a finished run says of itself.

    passes: forward passes through a backbone per micro-batch, updates: of the optimiser per step, seconds:
    per step; means over the steps, None where the log lacks them.
    """

    metrics: Metrics
    passes: float | None
    updates: float | None
    seconds: float | None

    @classmethod
    def of(cls, cell: Cell, split: str) -> RunFigures:
        """Read them from the folder of the finished run. Raises MissingArtifact, CorruptArtifact."""
        log = read_log(cell.plan.folder / "log.csv")

        def mean(column: str) -> float | None:
            values = [float(row[column]) for row in log if row.get(column)]
            return float(np.mean(values)) if values else None

        return cls(cell.run.evaluated(split), mean("passes"), mean("updates"), mean("seconds"))

    @property
    def miou(self) -> float | None:
        """In percent, over the classes that are true or predicted."""
        share = self.metrics.miou_absent_dropped
        return None if share is None else 100 * share


@dataclass(frozen=True)
class Entry:
    """A row at a ratio. values: seed -> mIoU in percent. gaps: seed -> that minus the reference's."""

    row: Row
    ratio: float
    values: Mapping[int, float]
    gaps: Mapping[int, float]

    @property
    def miou(self) -> Interval | None:
        """Mean over the seeds, percent; None before the first run."""
        return interval(list(self.values.values()))

    @property
    def gap(self) -> Interval | None:
        """Mean paired difference, points; None where no seed has both."""
        return interval(list(self.gaps.values()))


@dataclass(frozen=True)
class Filled:
    """A table with what has been run of it. figures: of the finished runs, by row, ratio and seed."""

    plan: TablePlan
    figures: Mapping[tuple[str, float, int], RunFigures]

    @classmethod
    def of(cls, plan: TablePlan) -> Filled:
        """Read every finished run. Raises CorruptArtifact."""
        return cls(
            plan,
            {
                (cell.row.title, cell.ratio, cell.seed): RunFigures.of(cell, plan.recipe.split)
                for cell in plan.cells
                if cell.state == "finished"
            },
        )

    def entry(self, row: Row, ratio: float) -> Entry:
        """What `row` reached at `ratio`."""
        values = self.values(row.title, ratio)
        reference = self.plan.table.reference
        gaps = {} if row.title == reference else differences(values, self.values(reference, ratio))
        return Entry(row, ratio, values, gaps)

    def runs(self, title: str, ratio: float) -> dict[int, RunFigures]:
        """Seed -> figures, of the finished runs of a row."""
        keys = {seed: (title, ratio, seed) for seed in self.plan.recipe.seeds}
        return {seed: self.figures[key] for seed, key in keys.items() if key in self.figures}

    def values(self, title: str, ratio: float) -> dict[int, float]:
        """Seed -> mIoU in percent, of the finished runs of a row that have one."""
        found = {seed: run.miou for seed, run in self.runs(title, ratio).items()}
        return {seed: miou for seed, miou in found.items() if miou is not None}

    def judged(self, claim: Claim, ratio: float) -> tuple[Interval | None, Verdict]:
        """The paired difference that `claim` says is positive, and whether it is."""
        gaps = differences(self.values(claim.better, ratio), self.values(claim.worse, ratio))
        difference = interval(list(gaps.values()))
        return difference, verdict(difference)
