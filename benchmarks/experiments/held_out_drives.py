"""Do words help in a new place? Each place is kept out in turn, and judges runs that learnt from the others.

    python benchmarks/experiments/held_out_drives.py --seeds 0 1 --processes 2 --figures docs/tables

The table of `make table TABLE=real` judges by one place, so its intervals say how sure it is of that place
alone. Here each data set keeps out another one. A data set's figure is the mean over its seeds, and the
intervals are over the data sets. Labelled scans, words and settings are those of the table.

Every data set needs captions and pairs first. Runs of the table are not trained again, nor are finished runs
and those whose figures are found in the folder after --figures. The page is written to held-out.md there,
after every seed of a data set, and the figures of the runs beside it.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch

from lass3d_core.errors import DataError, exit_status
from lass3d_core.files.atomic import write_text
from lass3d_core.manifest.reading import read_manifest
from train.data.paired_scans import PairedScans
from train.demo.runs import train_all
from train.report.words import counted
from train.tables.csv_files import lines_csv, run_line
from train.tables.figures import QUANTITIES, TableResults
from train.tables.markdown import AGAINST, bounded, interval_words, markdown_table
from train.tables.ours import MIXED, MIXED_WITHOUT_TEXT, TABLE_REAL
from train.tables.paper import LASERMIX, PLUS, PLUS_WITHOUT_TEXT, SUPERVISED
from train.tables.plan import Recipe, plan_table
from train.tables.records import Recorded, Records, cells_of, recorded_lines
from train.tables.rows import Table
from train.tables.run_figures import RunFigures
from train.tables.statistics import differences, interval, verdict

MANIFEST = Path("benchmarks/experiments/real_drives.yaml")
DATASETS = ("drives", *(f"without_{drive}" for drive in ("00", "02", "04", "05", "07", "10")))
ROWS = {
    "supervised": SUPERVISED,
    "lasermix": LASERMIX,
    "control": PLUS_WITHOUT_TEXT,
    "plus": PLUS,
    "mixed-control": MIXED_WITHOUT_TEXT,
    "mixed": MIXED,
}
"""The last one that is taken is compared with the others."""

FIGURES = {"mIoU": lambda run: run.miou} | QUANTITIES
"""What is compared, in per cent. mIoU: absent classes dropped."""


def main() -> None:
    """Train what is missing, then print and write the page."""
    options = _options()
    torch.set_num_threads(1)
    rows = tuple(row for name, row in ROWS.items() if name in options.rows)
    table = replace(TABLE_REAL, rows=rows, reference=rows[-1].title)
    listed = options.figures / "held-out-runs.csv" if options.figures else None
    records = Records.read(options.figures) if options.figures else Records()
    before = recorded_lines(listed) or () if listed and listed.exists() else ()
    # Before the first step: places without pairs, and a folder that cannot be written.
    results = _every(table, options, records)
    if listed:
        _write(listed, results, before)
    for seed in options.seeds:
        for dataset in options.datasets:
            to_do = _results(table, options, dataset, (seed,), records).plan.to_do
            train_all([cell.plan for cell in to_do], options.processes)
            results = _every(table, options, records) if to_do else results
            if to_do and listed:
                _write(listed, results, before)
    print(tables(results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--manifest", type=Path, default=MANIFEST)
    parser.add_argument(
        "--datasets", nargs="+", default=list(DATASETS), help="one per place that is kept out"
    )
    parser.add_argument("--preset", default="drives")
    parser.add_argument("--ratio", type=float, default=10.0, help="percent of the scans with labels (10)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--set", nargs="*", default=[], help="key=value settings of every run")
    parser.add_argument("--processes", type=int, default=1, help="runs at a time (1)")
    parser.add_argument("--figures", type=Path, help="folder for held-out.md")
    return parser.parse_args()


def _every(table: Table, options: argparse.Namespace, records: Records) -> dict[str, TableResults]:
    """The figures of all finished and recorded runs, by the place that is kept out."""
    found = {}
    for name in options.datasets:
        results = _results(table, options, name, tuple(options.seeds), records)
        place = ", ".join(results.plan.recipe.spec.splits.val)
        if place in found:
            raise DataError(f"--datasets {name}: {place} is kept out twice; name each place once")
        found[place] = results
    return dict(sorted(found.items()))


def _results(
    table: Table, options: argparse.Namespace, name: str, seeds: tuple[int, ...], records: Records
) -> TableResults:
    """The rows of one data set. Raises DataError if another run is in the folder of one of them."""
    manifest, dataset = read_manifest(options.manifest, name)
    recipe = Recipe(
        *(manifest, dataset, seeds, (options.ratio,), "val"),
        preset=options.preset,
        settings=tuple(options.set),
    )
    plan = plan_table(table, recipe, PairedScans.open(manifest.artifacts_of(dataset)), records)
    for cell in plan.cells:
        if cell.state == "refused":
            raise DataError(cell.why)
    return TableResults.of(plan)


def _write(listed: Path, results: dict[str, TableResults], before: Sequence[Recorded]) -> None:
    """The page, and the lines of the runs to `listed`. before: its lines as they are."""
    lines = [
        # A line is known by its row, ratio, seed and split: the row says which place was kept out.
        run_line(f"{cell.row.title}, without {place}", cell.run) | cells_of(figures)
        for place, one in results.items()
        for cell in one.plan.cells
        if (figures := one.figures.get((cell.row.title, cell.ratio, cell.seed)))
    ]
    write_text(listed, lines_csv(lines, before))
    write_text(listed.with_name("held-out.md"), page(results))


def page(results: dict[str, TableResults]) -> str:
    """The tables as a page, with the command and what they were made from."""
    command = shlex.join(["python", "benchmarks/experiments/held_out_drives.py", *sys.argv[1:]])
    recipe = next(iter(results.values())).plan.recipe
    seeds = {len(_by_seed(one, one.plan.table.reference, "mIoU")) for one in results.values()}
    each = counted(max(seeds), "seed") if len(seeds) == 1 else f"{min(seeds)} to {max(seeds)} seeds"
    made = (
        f"Preset {recipe.preset}, {recipe.ratios[0]:g} % labelled. {len(results)} places, each kept out in "
        f"turn, {each} each. Per cent, on the place that was kept out. Intervals: 95 %, Student's t over the "
        "places; a place counts with the mean over its seeds."
    )
    return f"# Words in places that were kept out\n\n`{command}`\n\n{made}\n\n{tables(results)}\n"


def tables(results: dict[str, TableResults]) -> str:
    """The mean of every row over the places, then the reference row minus each other row, by place."""
    table = next(iter(results.values())).plan.table
    means = [[row.title, *(_mean(results, row.title, name) for name in FIGURES)] for row in table.rows]
    gaps = [
        [other.title, name, *_gap_cells([gap_of(one, other.title, name) for one in results.values()])]
        for other in table.rows
        if other.title != table.reference
        for name in FIGURES
    ]
    of_rows = markdown_table(["row", *FIGURES], means)
    head = [f"{table.reference} minus", "of", *results, "mean", "95 %", ""]
    return f"{of_rows}\n\n{markdown_table(head, gaps)}"


def gap_of(results: TableResults, title: str, figure: str) -> float | None:
    """The reference row minus row `title` in one place: the mean over the seeds that both have."""
    reference = results.plan.table.reference
    gaps = differences(_by_seed(results, reference, figure), _by_seed(results, title, figure))
    return fmean(gaps.values()) if gaps else None


def _by_seed(results: TableResults, title: str, figure: str) -> dict[int, float]:
    """A figure of a row by seed."""
    runs: dict[int, RunFigures] = results.runs(title, results.plan.recipe.ratios[0])
    return {seed: value for seed, run in runs.items() if (value := FIGURES[figure](run)) is not None}


def _mean(results: dict[str, TableResults], title: str, figure: str) -> str:
    places = [fmean(values.values()) for one in results.values() if (values := _by_seed(one, title, figure))]
    return bounded(*interval_words(interval(places)))


def _gap_cells(gaps: Sequence[float | None]) -> list[str]:
    """A cell per place, then the mean, its interval and what the interval says."""
    found = interval([gap for gap in gaps if gap is not None])
    return [
        *("" if gap is None else f"{gap:+.1f}" for gap in gaps),
        *interval_words(found, "+"),
        AGAINST[verdict(found)],
    ]


if __name__ == "__main__":
    sys.exit(exit_status(main, "run the same command again"))
