"""Tables that take seconds, and figures set by hand for runs that nobody trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from lass3d_core.files.atomic import write_text
from lass3d_core.files.json_files import write_json
from lass3d_core.manifest.reading import read_manifest
from train.data.paired_scans import PairedScans
from train.evaluate import Metrics, figures_of
from train.tables.figures import TableResults
from train.tables.plan import Recipe, TablePlan, TableRun, plan_table
from train.tables.rows import Claim, Row, Table
from train.tables.run_figures import RunFigures

TINY = (
    "schedule.steps=2",
    "net.stem=4",
    "net.encoder=[6, 6, 6]",
    "net.decoder=[6, 6, 6]",
)


@pytest.fixture
def recipe(tiny: Any) -> Recipe:
    """20 % of the tiny project, two seeds."""
    manifest, dataset = read_manifest(tiny.manifest)
    return Recipe(manifest, dataset, (0, 1), (20.0,), "test", settings=TINY)


@pytest.fixture
def plan_of(tiny: Any) -> Callable[[Table, Recipe], TablePlan]:
    """The plan of a table on the tiny project."""
    return lambda table, recipe: plan_table(table, recipe, PairedScans.open(tiny.artifacts))


@pytest.fixture
def small() -> Table:
    """Three rows, one of which no method stands behind."""
    return Table(
        "2",
        "a small one",
        (
            Row("base", "supervised", paper={"SemanticKITTI": (40.0, 50.0, 60.0, 70.0)}),
            Row("mean", "mean_teacher", ("method.lambda_consistency=1",), "soft"),
            Row("dream", "method_of_dreams"),
        ),
        reference="base",
        claims=(Claim("mean", "base"), Claim("dream", "base")),
        note="A note.",
    )


@pytest.fixture
def filled_by_hand(
    recipe: Recipe, small: Table, plan_of: Callable[[Table, Recipe], TablePlan]
) -> Callable[[Mapping[str, Mapping[int, float]]], TableResults]:
    """The small table with given mIoU in percent by row and seed."""

    def fill(values: Mapping[str, Mapping[int, float]]) -> TableResults:
        plan = plan_of(small, recipe)
        figures = {
            (title, 20.0, seed): RunFigures.of(metrics_with(miou, seed), 2.0, 1.0, 0.25)
            for title, of_row in values.items()
            for seed, miou in of_row.items()
        }
        return TableResults(plan, figures)

    return fill


@pytest.fixture
def finish() -> Callable[[TableRun, int], None]:
    """Leaves the folder of a finished run, as training would, with random figures drawn from a number."""
    return finished_run


def finished_run(cell: TableRun, draw: int) -> None:
    """The folder of a finished run. Now and then a class is absent."""
    rng, run = np.random.default_rng(draw), cell.run
    run.saved.save(run.folder.config)
    environment = {"packages": {"lass3d": "1.2"}, "revision": f"{draw:012x}"}
    write_json(run.folder.environment, environment)
    costs = "".join(f"{step},2,1,{rng.uniform(0.1, 0.9)}\n" for step in range(3))
    write_text(run.folder.path / "log.csv", f"step,passes,updates,seconds\n{costs}")
    for split in run.splits:
        matrix = rng.integers(0, 1000, (3, 3))
        if rng.random() < 0.4:
            matrix[2], matrix[:, 2] = 0, 0
        metrics = Metrics(
            run_digest=run.saved.digest,
            split=split,
            class_names=("grass; moss", "wall: low", "50% lamp"),
            scans=2,
            split_scans=2,
            protocol="nested",
            ratio=cell.ratio,
            seed=cell.seed,
            labelled_scans=2,
            training_scans=10,
            steps=cell.plan.config.schedule.steps,
            **figures_of(matrix),
        )
        metrics.save(run.folder.metrics(split))


def metrics_with(miou: float, seed: int) -> Metrics:
    """Figures of a run whose one class has the IoU `miou` percent, and its other two are absent."""
    hundredths = round(100 * miou)
    matrix = np.zeros((3, 3), np.int64)
    matrix[0, 0] = hundredths
    values = figures_of(matrix) | {"miou_absent_dropped": miou / 100}
    return Metrics(
        run_digest=f"{seed}" * 64,
        split="test",
        class_names=("ground", "wall", "lamp"),
        scans=2,
        protocol="nested",
        ratio=20.0,
        seed=seed,
        labelled_scans=2,
        training_scans=10,
        steps=2,
        **values,
    )
