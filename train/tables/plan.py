"""The runs that a table needs, and the state of each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

from lass3d_core.errors import CorruptArtifact, DataError, ManifestError, StaleArtifact
from lass3d_core.manifest.schema import DatasetSpec, Manifest
from train.config import RunConfig, with_settings
from train.data.paired_scans import PairedScans
from train.methods import METHODS
from train.presets import preset_for
from train.report.words import counted
from train.runs.checkpoint import checkpoints, steps_of
from train.runs.run import Run
from train.runs.run_folder import RunFolder
from train.runs.side_by_side import PlannedRun
from train.tables.records import Records
from train.tables.rows import PAPER_RATIOS, Row, Table, World
from train.tables.run_figures import RunFigures

State = Literal["finished", "recorded", "unfinished", "missing", "refused", "failed"]


@dataclass(frozen=True)
class Recipe:
    """What all rows of a table share."""

    manifest: Manifest
    dataset: str
    seeds: tuple[int, ...]
    ratios: tuple[float, ...]  # percent
    split: str  # the split whose figures the table shows
    preset: str | None = None  # None for the preset that fits the data set
    settings: tuple[str, ...] = ()  # as after --set; `method.*` goes to the rows whose method has it
    tag: str | None = None  # ends the names of the run folders
    manifest_file: str | None = None  # as on the command line; None for the default

    @property
    def spec(self) -> DatasetSpec:
        return self.manifest.datasets[self.dataset]

    @property
    def world(self) -> World:
        return world_of(self.spec)

    def tagged(self, row: Row) -> str | None:
        """The tag of the run folders of `row`."""
        return "-".join(filter(None, (row.tag, self.tag))) or None


@dataclass(frozen=True)
class TableRun:
    """One run of a table."""

    row: Row
    ratio: float  # of the table; a row may have labels of its own, see Row.labelled
    seed: int
    settings: tuple[str, ...]  # turn the preset into this run, as after --set
    plan: PlannedRun
    run: Run
    state: State = "missing"  # `refused` if another run is in its folder
    steps_done: int = 0
    why: str = ""  # the reason why a run is `refused` or `failed`
    recorded: tuple[RunFigures, ...] = ()  # of a `recorded` run, on each split; the table's own comes first
    note: str = ""  # the reason why a record of this run is not used

    @property
    def is_to_do(self) -> bool:
        return self.state in ("missing", "unfinished")

    @property
    def steps_left(self) -> int:
        return self.plan.config.schedule.steps - self.steps_done if self.is_to_do else 0

    @property
    def work(self) -> tuple[int, RunConfig]:
        """The steps that are left, and of what run."""
        return self.steps_left, self.plan.config


@dataclass(frozen=True)
class TablePlan:
    """The runs of a table.

    not_built: title of each row that cannot be run -> the reason.
    left_out: title and ratio of each further cell that cannot be run -> the reason.
    """

    table: Table
    recipe: Recipe
    cells: tuple[TableRun, ...]
    not_built: dict[str, str]
    left_out: Mapping[tuple[str, float], str] = field(default_factory=dict)

    @property
    def to_do(self) -> list[TableRun]:
        """The runs to train, each once. All rows of a seed come before the next seed."""
        cells = {cell.plan.folder: cell for cell in self.cells if cell.is_to_do}
        return sorted(cells.values(), key=lambda cell: self.recipe.seeds.index(cell.seed))

    def why_not(self, title: str, ratio: float) -> str:
        """The reason why a row cannot be run at a ratio; empty if it can."""
        return self.not_built.get(title) or self.left_out.get((title, ratio), "")

    def with_finished(self, folder: Path) -> TablePlan:
        """The plan after the run in `folder` was trained."""
        return replace(
            self,
            cells=tuple(
                replace(cell, state="finished") if cell.plan.folder == folder else cell for cell in self.cells
            ),
        )


def world_of(spec: DatasetSpec) -> World:
    """The world of a data set: ScanNet's layout means rooms."""
    return "indoors" if spec.reader == "scannet" else "outdoors"


def default_ratios(spec: DatasetSpec, table: Table) -> tuple[float, ...]:
    """The paper's ratios for real data. The demo's ratio for a simulated world, which is small.

    A table over ratios has its own in a simulated world. For real data it has full supervision besides.
    """
    world = world_of(spec)
    if spec.simulate is not None:
        return table.ratios or ((5.0,) if world == "indoors" else (2.0,))
    papers = PAPER_RATIOS["ScanNet" if world == "indoors" else "SemanticKITTI"]
    return (*papers, 100.0) if table.ratios else papers


def default_split(spec: DatasetSpec) -> str:
    """`test` for a simulated world, `val` for real data.

    Decision: test labels of real data are not public. Settings are chosen on val, so figures on val are
    biased and figures on test are not.
    """
    return "test" if spec.simulate is not None and spec.splits.test else "val"


def plan_table(table: Table, recipe: Recipe, pairs: PairedScans, records: Records | None = None) -> TablePlan:
    """Find the state of every run of the table. pairs: of the data set. records: of runs trained elsewhere.

    A row that has no run at a ratio (too few labels, no unlabelled scan) is left out there.
    Raises ManifestError for settings that fit no row, DataError for a split that the data lacks, and if no
    row has a run at any ratio.
    """
    reasons = {row.title: why_not_built(row, recipe) for row in table.rows}
    built = [row for row in table.rows if not reasons[row.title]]
    _require_use(recipe, built)
    cells, left_out = [], {}
    for row, ratio in itertools.product(built, recipe.ratios):
        try:
            cells += [_cell(row, ratio, seed, recipe, pairs, records or Records()) for seed in recipe.seeds]
        except DataError as error:
            left_out[row.title, ratio] = str(error)
    if left_out and not cells:
        raise DataError(next(iter(left_out.values())))
    if cells and recipe.split not in cells[0].run.splits:
        known = ", ".join(cells[0].run.splits)
        raise DataError(f"--split {recipe.split}: it has no labels to compare with; known: {known}")
    not_built = {title: why for title, why in reasons.items() if why}
    return TablePlan(table, recipe, tuple(cells), not_built, left_out)


def why_not_built(row: Row, recipe: Recipe) -> str:
    """The reason why the row cannot be run; empty if it can."""
    if row.world not in (None, recipe.world):
        return f"the method is for {row.world} alone"
    if row.method not in METHODS:
        return f"there is no method {row.method} yet"
    plain = preset_for(recipe.preset, recipe.spec)(recipe.dataset, row.method, recipe.ratios[0], 0)
    try:
        with_settings(plain, row.settings)
    except ManifestError as error:
        return str(error).removeprefix("--set: ")
    return ""


def settings_of(row: Row, recipe: Recipe, plain: RunConfig) -> tuple[str, ...]:
    """The settings that turn the preset `plain` into the row's run. The row's own come last and win.

    Raises ManifestError for wrong settings of the recipe.
    """
    own = {field.name for field in fields(plain.method)}
    shared = [setting for setting in recipe.settings if _method_key(setting) in own | {None}]
    if row.times_longer > 1:
        steps = with_settings(plain, shared).schedule.steps * row.times_longer
        shared.append(f"schedule.steps={steps}")
    return (*shared, *row.settings)


def _cell(
    row: Row, ratio: float, seed: int, recipe: Recipe, pairs: PairedScans, records: Records
) -> TableRun:
    labelled = ratio if row.labelled is None else row.labelled
    plain = preset_for(recipe.preset, recipe.spec)(recipe.dataset, row.method, labelled, seed)
    settings = settings_of(row, recipe, plain)
    config = with_settings(plain, settings)
    folder = RunFolder.of(recipe.manifest.runs, config, recipe.tagged(row))
    artifacts = recipe.manifest.artifacts_of(recipe.dataset)
    plan = PlannedRun(row.title, config, artifacts, recipe.spec, folder.path)
    run = plan.open(pairs=pairs)
    cell = _on_disk(TableRun(row, ratio, seed, settings, plan, run))
    if cell.state == "finished":
        return cell  # a run that was trained here wins over its record
    recorded, note = recorded_figures(run, recipe.split, records)
    if not recorded:
        return replace(cell, note=note)
    return replace(cell, state="recorded", steps_done=0, why="", recorded=recorded)


def _on_disk(cell: TableRun) -> TableRun:
    """The cell with the state of its run's folder."""
    run = cell.run
    try:
        run.require_own_folder()
    except (StaleArtifact, CorruptArtifact) as error:
        return replace(cell, state="refused", why=str(error))
    if run.is_finished:
        return replace(cell, state="finished")
    found = checkpoints(run.folder.checkpoints)
    return replace(cell, state="unfinished", steps_done=steps_of(found[-1])) if found else cell


def recorded_figures(run: Run, split: str, records: Records) -> tuple[tuple[RunFigures, ...], str]:
    """What is recorded of `run` on each split, if it is of `split`; else why a record is not used.

    Decision: the digest of a run knows nothing of the scans that it was evaluated on. Figures on another
    number of scans are not taken for figures on these.
    """
    usable, note = [], ""
    for one in (split, *(other for other in run.splits if other != split)):
        figures = records.of(run.saved.digest, one)
        if figures is None:
            continue
        here = len(run.pairs.labelled_scans(one)), len(run.pairs.splits[one])
        if here == (figures.scans, here[1] if figures.split_scans is None else figures.split_scans):
            usable.append(figures)
        elif one == split:
            scans = counted(figures.scans, "scan")
            note = f"it was recorded on {scans} of {one}, here {here[0]} of {here[1]} have labels"
    of_split = bool(usable) and usable[0].split == split
    return (tuple(usable), "") if of_split else ((), note)


def _method_key(setting: str) -> str | None:
    """The key below `method` that the setting sets; None for other settings."""
    keys = setting.split("=")[0].strip().split(".")
    return keys[1] if keys[0] == "method" and len(keys) > 1 else None


def _require_use(recipe: Recipe, rows: Sequence[Row]) -> None:
    known = {field.name for row in rows for field in fields(METHODS[row.method][0])}
    useless = [setting for setting in recipe.settings if _method_key(setting) not in known | {None}]
    if useless and rows:
        raise ManifestError(f"--set: no method of this table has {', '.join(useless)}")
