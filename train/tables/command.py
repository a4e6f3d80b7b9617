"""`make table`: train the missing runs of a table, and write the table."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from lass3d_core.errors import Lass3dError, ManifestError
from lass3d_core.files.atomic import remove_parts, write_text
from lass3d_core.program import percent, seed
from lass3d_core.progress.bars import progress_bar
from lass3d_core.progress.lines import duration
from train.data.paired_scans import PairedScans
from train.data.text_models import warn_of_stand_ins
from train.presets import demo_for
from train.runs.consent import require_consent
from train.runs.pace import Pace
from train.runs.side_by_side import every_device, max_parallel, outcomes
from train.tables.csv_files import rows_csv, runs_csv
from train.tables.figures import TableResults
from train.tables.markdown import as_markdown, make_command, words_of_settings
from train.tables.plan import Recipe, TablePlan, TableRun, plan_table
from train.tables.plot import as_svg
from train.tables.ratio_plot import as_curve
from train.tables.records import Records, recorded_lines
from train.tables.rows import Table


def make_table(
    table: Table,
    recipe: Recipe,
    processes: int | None,
    yes: bool = False,
    figures: Path | None = None,
) -> Path:
    """Train the missing runs, several at a time, and write the table. Returns the Markdown file.

    The table is written after each run, too, so a killed machine loses only the runs that went on. If a run
    fails, the others continue.
    processes: number of runs at a time; None for one per GPU or core. yes: to runs that take weeks on a CPU.
    figures: a folder of recorded figures. A run that is recorded there is not trained, and the table is
    written there, too.
    Raises Lass3dError without `yes` to such runs, and at the end if runs failed or were refused;
    CorruptArtifact if recorded figures are damaged.
    """
    pairs = PairedScans.open(recipe.manifest.artifacts_of(recipe.dataset))
    records = Records.read(figures) if figures else Records()
    plan = plan_table(table, recipe, pairs, records)
    warn_of_stand_ins(pairs, recipe.spec, [cell.plan.config.method for cell in plan.cells])
    at_a_time = processes or max_parallel(every_device())
    print("\n".join([*_notes(plan, records), said(plan, Pace.of(_runs(recipe)), at_a_time)]))
    if "cpu" in every_device():
        require_consent([cell.run for cell in plan.to_do], yes, demo_for(recipe.spec).__name__)
    failed: dict[Path, str] = {}  # folder -> reason
    if figures:
        write(plan, figures)  # a folder that cannot be written is known before the first step
    try:
        _train(plan, at_a_time, failed, figures)
    finally:
        plan = with_failures(plan_table(table, recipe, pairs, records), failed)
        page = write(plan, figures)
    print(f"wrote {page}" + (f" and {_beside(recipe, figures) / page.name}" if figures else ""))
    left_out = {cell.plan.folder: cell.why for cell in plan.cells if cell.why}
    if left_out:
        folder, why = next(iter(left_out.items()))
        raise Lass3dError(f"{len(left_out)} runs {page.name} had to leave out; {folder.name}: {why}")
    return page


def planned(table: Table, recipe: Recipe, processes: int | None, figures: Path | None = None) -> str:
    """What `make_table` would train, run by run, and how long that would take."""
    pairs = PairedScans.open(recipe.manifest.artifacts_of(recipe.dataset))
    records = Records.read(figures) if figures else Records()
    plan, pace = plan_table(table, recipe, pairs, records), Pace.of(_runs(recipe))
    width = max((len(cell.plan.folder.name) for cell in plan.cells), default=0)
    lines = [f"{cell.plan.folder.name:<{width}}  {_state(cell, pace)}" for cell in plan.cells]
    lines += [f"{title}: not built ({why})" for title, why in plan.not_built.items()]
    lines += [f"{title}, {ratio:g} %: not built ({why})" for (title, ratio), why in plan.left_out.items()]
    lines += records.notes
    return "\n".join([*lines, said(plan, pace, processes or max_parallel(every_device()))])


def said(plan: TablePlan, pace: Pace, at_a_time: int) -> str:
    """A summary of the plan in one or two lines."""
    states = Counter({cell.plan.folder: cell.state for cell in plan.cells}.values())
    counted = ", ".join(f"{count} {state}" for state, count in states.items()) or "none can be run"
    line = f"{plan.table.heading} on {plan.recipe.dataset}: {sum(states.values())} runs, {counted}"
    if plan.not_built:
        line += f"; {len(plan.not_built)} rows not built"
    if plan.left_out:
        line += f"; {len(plan.left_out)} cells not built"
    left = pace.left((cell.work for cell in plan.to_do), at_a_time)
    if left is None:
        return f"{line}\nthe time cannot be estimated: too few runs are finished"
    estimate = f"{at_a_time} runs at a time, without evaluation; estimated from {pace.runs} finished runs"
    return f"{line}\nabout {duration(left)} with {estimate}" if plan.to_do else line


def with_failures(plan: TablePlan, failed: dict[Path, str]) -> TablePlan:
    """The plan, with the failed runs marked."""
    cells = list(plan.cells)
    for place, cell in enumerate(cells):
        if cell.plan.folder in failed:
            cells[place] = replace(cell, state="failed", why=failed[cell.plan.folder])
    return replace(plan, cells=tuple(cells))


def write(plan: TablePlan, figures: Path | None = None) -> Path:
    """Write the four files of a table beside its runs, and below `figures` if it is given.

    Returns the Markdown file beside the runs. Raises StorageError, CorruptArtifact, DataError.
    """
    filled, stem = TableResults.of(plan), stem_of(plan)
    drawn = as_curve(filled) if plan.table.ratios else as_svg(filled)
    runs = f"{stem}-runs.csv"
    made = {
        f"{stem}.svg": drawn.rstrip() + "\n",
        f"{stem}.csv": rows_csv(filled),
        f"{stem}.md": as_markdown(filled, command_of(plan.table, plan.recipe), f"{stem}.svg"),
    }
    folder = _runs(plan.recipe) / "tables"
    _write_files(folder, {runs: runs_csv(filled), **made})
    if figures is not None:
        recorded = _beside(plan.recipe, figures)
        # Another process may have written since: the file is read again.
        before = recorded_lines(recorded / runs) if (recorded / runs).exists() else None
        _write_files(recorded, {runs: runs_csv(filled, before or ()), **made})
    return folder / f"{stem}.md"


def _write_files(folder: Path, texts: Mapping[str, str]) -> None:
    remove_parts(folder)
    for name, text in texts.items():
        write_text(folder / name, text)


def _beside(recipe: Recipe, figures: Path) -> Path:
    """The folder of the data set in a folder of recorded figures."""
    return figures / recipe.dataset


def stem_of(plan: TablePlan) -> str:
    """The name of the files: "table-2-test", "fig7-val", followed by the preset and the tag if given."""
    recipe = plan.recipe
    name = plan.table.name if plan.table.name.startswith("fig") else f"table-{plan.table.name}"
    return "-".join(filter(None, (name, recipe.split, recipe.preset, recipe.tag)))


def command_of(table: Table, recipe: Recipe) -> str:
    """The command that makes the table again."""
    variables = {
        "TABLE": table.name,
        "MANIFEST": recipe.manifest_file,
        "DATASET": recipe.dataset,
        "SEEDS": ",".join(map(str, recipe.seeds)),
        "RATIOS": ",".join(f"{ratio:g}" for ratio in recipe.ratios),
        "SPLIT": recipe.split,
        "PRESET": recipe.preset,
        "SET": words_of_settings(recipe.settings),
        "TAG": recipe.tag,
    }
    return make_command("table", variables)


def ratios_of(text: str) -> tuple[float, ...]:
    """ "1,10" as ratios in percent, each once. Raises ManifestError."""
    try:
        return tuple(dict.fromkeys(map(percent, text.split(","))))
    except ArgumentTypeError as error:
        raise ManifestError(f"--ratios {text!r}: {error}; write them as 1,10,20") from None


def seeds_of(text: str) -> tuple[int, ...]:
    """ "0,1,2" as seeds. Raises ManifestError."""
    try:
        return tuple(dict.fromkeys(map(seed, text.split(","))))
    except ArgumentTypeError as error:
        raise ManifestError(f"--seeds {text!r}: {error}; write them as 0,1,2") from None


def _train(plan: TablePlan, at_a_time: int, failed: dict[Path, str], figures: Path | None) -> None:
    """Train the missing runs, and write the table after each.

    Adds the folder of each run that fails to `failed`, with the reason.
    """
    left = {cell.plan.folder: cell for cell in plan.to_do}
    plans = [cell.plan for cell in left.values()]
    with (
        progress_bar(
            total=len(plans), desc=plan.table.heading, unit="run", position=at_a_time, lines=len(plans)
        ) as bar,
        closing(outcomes(plans, at_a_time, every_device())) as ended,
    ):
        for outcome in ended:
            folder = outcome.plan.folder
            del left[folder]
            if outcome.error is not None:
                failed[folder] = outcome.error
                tqdm.write(f"{folder.name} failed: {outcome.error}")
            else:
                plan = plan.with_finished(folder)
                try:
                    write(with_failures(plan, failed), figures)
                except Lass3dError as error:  # the other runs go on; if it lasts, the last write raises it
                    tqdm.write(f"after {folder.name} the table could not be written: {error}")
            seconds = Pace.of(_runs(plan.recipe)).left((cell.work for cell in left.values()), at_a_time)
            bar.set_postfix_str(f"{duration(seconds)} at the pace of earlier runs", refresh=False)
            bar.update()


def _notes(plan: TablePlan, records: Records) -> list[str]:
    """What a user should know of the recorded figures."""
    unused = {cell.plan.folder.name: cell.note for cell in plan.cells if cell.note}
    lines = [f"note: the record of {name} is not used: {why}" for name, why in list(unused.items())[:1]]
    if len(unused) > 1:
        lines[0] += f"; so it is with {len(unused) - 1} more"
    return [*records.notes, *lines]


def _state(cell: TableRun, pace: Pace) -> str:
    if cell.why:
        return f"{cell.state}: {cell.why}"
    if not cell.is_to_do:
        return cell.state
    state = f"{cell.state}, {cell.steps_left} steps, {duration(pace.left([cell.work]))}"
    return f"{state} (its record is not used: {cell.note})" if cell.note else state


def _runs(recipe: Recipe) -> Path:
    return recipe.manifest.runs / recipe.dataset
