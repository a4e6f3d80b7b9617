"""How well the runs of `make table TABLE=real` know the training scans that had no label.

    python benchmarks/experiments/unlabelled_scans.py --manifest benchmarks/experiments/real_drives.yaml \
        --dataset drives --seeds 0 1 2 3 4 --figures docs/tables

The table itself says how a run does in a new place. This page says how it does in the places that it learnt
from without labels: the training scans of sequences of which no scan was labelled. Scans beside a labelled
one are left out, since they look like it. The hidden labels of these scans judge, and teach nothing. Both
together say whether a gain is missing, or does not reach a new place.

Needs the table's finished runs. With --figures FOLDER the page is also written to
DATASET/unlabelled-PRESET.md there, and the figures of the runs beside it. Runs with figures there need not be
on this machine.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from lass3d_core.errors import DataError, exit_status
from lass3d_core.files.atomic import write_text
from lass3d_core.manifest.reading import read_manifest
from train.data.paired_scans import PairedScans
from train.evaluate import both_figures
from train.runs.run import Run
from train.tables.csv_files import lines_csv, run_line
from train.tables.figures import TableResults
from train.tables.markdown import figures_table, further_table
from train.tables.ours import TABLE_REAL
from train.tables.plan import Recipe, TablePlan, plan_table
from train.tables.records import Recorded, Records, cells_of, recorded_lines
from train.tables.run_figures import RunFigures

SPLIT = "unlabelled"
"""In the recorded figures, where the splits of the data set stand besides."""


def main() -> None:
    """Evaluate the runs, then print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--manifest", type=Path, default=Path("data_manifest.yaml"))
    parser.add_argument("--dataset", help="a data set of the manifest (its default)")
    parser.add_argument("--preset", default="drives")
    parser.add_argument("--ratio", type=float, default=10.0, help="percent of the scans with labels (10)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--set", nargs="*", default=[], help="key=value settings of every run")
    parser.add_argument("--figures", type=Path, help="folder for DATASET/unlabelled-PRESET.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    manifest, dataset = read_manifest(options.manifest, options.dataset)
    recipe = Recipe(
        *(manifest, dataset, tuple(options.seeds), (options.ratio,), "val"),
        preset=options.preset,
        settings=tuple(options.set),
    )
    records = Records.read(options.figures) if options.figures else Records()
    plan = plan_table(TABLE_REAL, recipe, PairedScans.open(manifest.artifacts_of(dataset)), records)
    results = results_of(plan, records)
    if options.figures:
        stem = options.figures / dataset / f"unlabelled-{options.preset}"
        listed = stem.with_name(f"{stem.name}-runs.csv")
        before = recorded_lines(listed) if listed.exists() else None
        write_text(listed, runs_csv(results, before or ()))
        write_text(stem.with_suffix(".md"), page(results))
    print(tables(results))


def scans_elsewhere(unlabelled: Sequence[str], labelled: Sequence[str]) -> list[str]:
    """The unlabelled scans of sequences of which no scan is labelled. A scan is called SEQUENCE/FRAME."""
    near = {scan_id.rpartition("/")[0] for scan_id in labelled}
    return [scan_id for scan_id in unlabelled if scan_id.rpartition("/")[0] not in near]


def figures_of(run: Run) -> RunFigures:
    """How a finished run does on these scans. Raises DataError if there are none."""
    scan_ids = scans_elsewhere(run.split.unlabelled, run.split.labelled)
    if not scan_ids:
        raise DataError(f"{run.folder.path.name}: each sequence has a labelled scan; take a smaller --ratio")
    matrices = run.confusions(run.trained_predictor(), scan_ids, f"evaluating {run.folder.path.name}")
    count = len(scan_ids)
    figures = both_figures(matrices, run.absent)
    of_val = run.evaluated("val")
    return RunFigures.of(replace(of_val, split=SPLIT, scans=count, split_scans=count, **figures))


def results_of(plan: TablePlan, records: Records) -> TableResults:
    """The figures of all runs of `plan` that are finished here, or recorded. Raises DataError if none is."""
    found: dict[tuple[str, float, int], RunFigures] = {}
    for cell in plan.cells:
        # The digest of a run holds its training scans, so a record is of the scans that are here.
        figures = records.of(cell.run.saved.digest, SPLIT)
        if figures is None and cell.state == "finished":
            figures = figures_of(cell.run)
        if figures is not None:
            found[cell.row.title, cell.ratio, cell.seed] = figures
    if not found:
        raise DataError("no run of the table is finished here; train them by `make table TABLE=real` first")
    return TableResults(plan, found)


def runs_csv(results: TableResults, before: Sequence[Recorded]) -> str:
    """A line per run that has figures. before: the lines of the file as it is."""
    lines = [
        run_line(cell.row.title, cell.run) | cells_of(figures)
        for cell in results.plan.cells
        if (figures := results.figures.get((cell.row.title, cell.ratio, cell.seed)))
    ]
    return lines_csv(lines, before)


def page(results: TableResults) -> str:
    """The tables as a page, with the command and what they were made from."""
    recipe = results.plan.recipe
    command = shlex.join(["python", "benchmarks/experiments/unlabelled_scans.py", *sys.argv[1:]])
    counts = sorted({one.scans for one in results.figures.values()})
    scans = f"{counts[0]} scans" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} scans, by the seed"
    made = (
        f"Preset {recipe.preset}, {recipe.ratios[0]:g} % labelled. Judged on the training scans of sequences "
        f"without a labelled scan, {scans}. Training saw them without their labels."
    )
    head = f"# What the runs of table {results.plan.table.name} know of unlabelled training scans"
    return f"{head}\n\n`{command}`\n\n{made}\n\n{tables(results)}\n"


def tables(results: TableResults) -> str:
    """mIoU, then accuracy and the points in camera, each with its difference from the reference row."""
    ratio = results.plan.recipe.ratios[0]
    return f"{figures_table(results, ratio)}\n\n{further_table(results, ratio)}"


if __name__ == "__main__":
    sys.exit(exit_status(main, "run the same command again"))
