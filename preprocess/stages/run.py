"""Runs one stage: plan, say why, make what is not fresh, sum up."""

from __future__ import annotations

import time

from tqdm import tqdm

from lass3d_core.errors import CorruptArtifact, MissingArtifact, StaleArtifact
from lass3d_core.files import pair_index
from lass3d_core.files.atomic import remove_parts, storage_errors
from preprocess.engine.pool import run_shards
from preprocess.project import Project
from preprocess.stages import pairs
from preprocess.stages.failures import named, recorded, stop_if_too_many
from preprocess.stages.plan import STAGES, StagePlan, plan
from preprocess.status import plural, why


def run_stage(project: Project, name: str) -> None:
    """Bring one stage up to date and print what was done.

    Raises MissingArtifact or StaleArtifact when an earlier stage has to be run first, DataError when more
    images failed than `max_failures` allows; whatever was made until then is kept.
    """
    planned = plan(project, STAGES[name])
    _refuse_if_waiting(project, planned)
    shards = plural(len(planned.shards), "shard")
    if planned.fresh:
        print(f"{name}: fresh ({shards})")
    else:
        print(f"{name}: {len(planned.to_do)} of {shards} to make: {why(planned)}", flush=True)
        _make(project, planned)
    if failures := recorded(planned.stage, planned.shards):
        print(f"{name}: {named(failures)}")
    if name == pairs.NAME:
        _write_index(project, planned)
    project.inputs.save()


def _refuse_if_waiting(project: Project, planned: StagePlan) -> None:
    if planned.waits_for is None:
        return
    earlier = STAGES[planned.waits_for]
    exists = any(path.exists() for _, path in earlier.places(project))
    kind, state = (StaleArtifact, "not up to date") if exists else (MissingArtifact, "missing")
    raise kind(f"{planned.stage.name} needs {earlier.name}, which is {state}; run `make {earlier.command}`")


def _make(project: Project, planned: StagePlan) -> None:
    """Make every shard that is not fresh, with a progress bar, and say what was written where."""
    stage, jobs = planned.stage, [shard.job for shard in planned.to_do if shard.job is not None]
    where = jobs[0].path.parent if stage.per_block else jobs[0].path
    remove_parts(jobs[0].path.parent)
    if stage.name == pairs.NAME:
        with storage_errors(where / pair_index.NAME):
            (where / pair_index.NAME).unlink(missing_ok=True)
    failures = recorded(stage, [shard for shard in planned.shards if shard.state == "fresh"])
    started = time.monotonic()
    with tqdm(total=_units(project, planned), desc=stage.name, unit=stage.unit[:-1], disable=None) as bar:
        done = _Counter(bar)
        for failed in run_shards(project, stage.name, jobs, done.add):
            failures += failed
            stop_if_too_many(project, stage, failures)
    seconds = time.monotonic() - started
    rate = f"{done.units} {stage.unit} in {seconds:.1f} s, {done.units / max(seconds, 1e-3):.3g}/s"
    print(f"{stage.name}: wrote {plural(len(jobs), 'shard')} ({rate}) to {where}", flush=True)


class _Counter:
    """Counts units beside the bar, which counts nothing where it is not shown."""

    def __init__(self, bar: tqdm) -> None:
        self.units = 0
        self._bar = bar

    def add(self, units: int) -> None:
        self.units += units
        self._bar.update(units)


def _units(project: Project, planned: StagePlan) -> int | None:
    """The total of the progress bar, where it is known before."""
    blocks = [shard.job.block for shard in planned.to_do if shard.job is not None]
    units = [planned.stage.units_of(project, block) for block in blocks]
    return None if None in units else sum(unit for unit in units if unit is not None)


def _write_index(project: Project, planned: StagePlan) -> None:
    """Say that the pairs are complete, unless the index says so already."""
    folder = project.folder / pairs.NAME
    jobs = [shard.job for shard in planned.shards if shard.job is not None]
    index = pairs.pair_index(project, {job.block: job.record for job in jobs if job.block is not None})
    try:
        if pair_index.read_index(folder) == index:
            return
    except (MissingArtifact, CorruptArtifact):
        pass
    pair_index.write_index(folder, index)
