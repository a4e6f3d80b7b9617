"""Runs one stage: plan it, say why, make the shards that are not fresh, sum up."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Sequence
from contextlib import closing, suppress
from pathlib import Path

from lass3d_core.errors import CorruptArtifact, DataError, MissingArtifact, StaleArtifact
from lass3d_core.files import pair_index
from lass3d_core.files.atomic import remove_parts, storage_errors
from lass3d_core.manifest.stand_ins import stand_in_warning
from lass3d_core.progress.bars import progress_bar
from preprocess.engine import run_shards
from preprocess.lvm.fetch_weights import models_of
from preprocess.project import ABSENT, Project
from preprocess.stages import pairs
from preprocess.stages.coverage_report import coverage_lines, failed_images
from preprocess.stages.jsonl_shards import failures_in, read_jsonl
from preprocess.stages.plan import STAGES, ShardPlan, StagePlan, plan
from preprocess.stages.stage import Failure, Job, Stage
from preprocess.status import plural, why

_SHOWN_FAILURES = 3


def run_stage(project: Project, name: str) -> None:
    """Bring one stage up to date and print what was done.

    Raises MissingArtifact or StaleArtifact if an earlier stage has to run first, and DataError if more images
    failed than `max_failures` allows. What was made before the error is kept.
    If the data set has no image, `pairs` runs the earlier stages too: they load no model then.
    """
    if name == pairs.NAME and not project.image_count:
        for earlier in STAGES:
            if earlier != name:
                run_stage(project, earlier)
    planned = plan(project, STAGES[name])
    _refuse_if_waiting(project, planned)
    shards = plural(len(planned.shards), "shard")
    if planned.fresh:
        print(f"{name}: fresh ({shards}{'; no images' if _sees_none(project, planned.stage) else ''})")
    else:
        print(f"{name}: {len(planned.to_do)} of {shards} to make: {why(planned)}", flush=True)
        _make(project, planned)
    if failures := _failures_on_disk(planned.stage, planned.shards):
        print(f"{name}: {_in_words(failures)}")
    if name == pairs.NAME:
        _write_index(project, planned)
        _print_coverage(project)
    project.inputs.save()


def warn_of_stand_ins(project: Project, stages: Collection[str]) -> None:
    """Say on stderr, once for all `stages`, which of their models are stand-ins that do not know the data."""
    models = {stage: (spec.name,) for stage, spec in models_of(project.manifest).items() if stage in stages}
    warning = stand_in_warning(project.name, project.spec, models)
    if warning is not None:
        print(f"warning: {warning}", file=sys.stderr)


def _refuse_if_waiting(project: Project, planned: StagePlan) -> None:
    if planned.waits_for is None:
        return
    earlier = STAGES[planned.waits_for]
    exists = any(path.exists() for _, path in earlier.places(project))
    kind, state = (StaleArtifact, "not up to date") if exists else (MissingArtifact, "missing")
    raise kind(f"{planned.stage.name} needs {earlier.name}, which is {state}; run `make {earlier.command}`")


def _make(project: Project, planned: StagePlan) -> None:
    """Make every shard that is not fresh, with a progress bar, and print what was written where."""
    stage, jobs = planned.stage, [shard.job for shard in planned.to_do if shard.job is not None]
    where = jobs[0].path.parent if stage.per_block else jobs[0].path
    if stage.unit == "images":
        for job in jobs:
            _refuse_to_forget(project, stage, job)
    remove_parts(jobs[0].path.parent)
    if stage.name == pairs.NAME:
        # The index says that the pairs are complete, which they no longer are.
        with storage_errors(where / pair_index.NAME):
            (where / pair_index.NAME).unlink(missing_ok=True)
    failures = _failures_on_disk(stage, [shard for shard in planned.shards if shard.state == "fresh"])
    started, units = time.monotonic(), 0
    with progress_bar(total=_total(project, planned), desc=stage.name, unit=stage.unit[:-1]) as bar:

        def on_progress(newly_done: int) -> None:
            nonlocal units
            units += newly_done
            bar.update(newly_done)

        with closing(run_shards(project, stage.name, jobs, on_progress)) as made:
            for failed in made:
                failures += failed
                _stop_if_too_many(project, stage, failures)
    seconds = time.monotonic() - started
    rate = f"{units} {stage.unit} in {seconds:.1f} s, {units / max(seconds, 1e-3):.3g}/s"
    if _sees_none(project, stage):
        rate = "no images"
    print(f"{stage.name}: wrote {plural(len(jobs), 'shard')} ({rate}) to {where}", flush=True)


def _refuse_to_forget(project: Project, stage: Stage, job: Job) -> None:
    """Raise DataError if images that a shard holds answers for are gone: a disk may not be mounted.

    The shard would be made again without them, and the answers, days of a GPU, would be lost. An image that
    is there in another format is not gone.
    """
    path = job.path
    here = {Path(name).with_suffix("") for name, digest in job.record["inputs"].items() if digest != ABSENT}
    try:
        known = stage.read_record(path)[0]["inputs"] if path.exists() else {}
    except (CorruptArtifact, StaleArtifact):
        return
    names = (name.partition(" (bytes ")[0] for name, digest in known.items() if digest != ABSENT)
    lost = (name for name in dict.fromkeys(names) if Path(name).with_suffix("") not in here)
    gone = [name for name in lost if not (project.spec.root / name).exists()]
    if gone:
        what = f"and {len(gone) - 1} more do not exist" if len(gone) > 1 else "does not exist"
        raise DataError(
            f"{project.spec.root / gone[0]} {what}, and {path} holds what {stage.name} found there; restore "
            "it, or delete that file to leave it out"
        )


def _sees_none(project: Project, stage: Stage) -> bool:
    """Whether the stage looks at images, or at texts about them, and the data set has none to caption."""
    return stage.unit != "scans" and not project.image_count


def _print_coverage(project: Project) -> None:
    """Say what each split has, and which images failed and so have no text."""
    if failures := failed_images(project):
        print(f"{pairs.NAME}: without text: {_in_words(failures)}")
    for line in coverage_lines(project):
        print(line)


def _failures_on_disk(stage: Stage, shards: Sequence[ShardPlan]) -> list[Failure]:
    """The failed images of shards that are on disk; none if the stage looks at no image."""
    paths = [shard.path for shard in shards if stage.unit == "images" and stage.read_record(shard.path)[1]]
    return [failure for path in paths for failure in failures_in(read_jsonl(path)[1])]


def _total(project: Project, planned: StagePlan) -> int | None:
    """The total of the progress bar; None if it is not known yet."""
    units = [planned.stage.units_of(project, shard.job.block) for shard in planned.to_do if shard.job]
    return None if None in units else sum(unit or 0 for unit in units)


def _stop_if_too_many(project: Project, stage: Stage, failures: Sequence[Failure]) -> None:
    if failures and len(failures) > project.failures_allowed:
        raise DataError(
            f"{stage.name}: {_in_words(failures)}; max_failures {project.manifest.max_failures:g} allows "
            f"{project.failures_allowed}; mend them or raise it in the manifest and run again, what is done "
            "is kept"
        )


def _in_words(failures: Sequence[Failure]) -> str:
    shown = "; ".join(f"{failure.image_id}: {failure.error}" for failure in failures[:_SHOWN_FAILURES])
    more = f"; and {len(failures) - _SHOWN_FAILURES} more" if len(failures) > _SHOWN_FAILURES else ""
    return f"{plural(len(failures), 'image')} failed ({shown}{more})"


def _write_index(project: Project, planned: StagePlan) -> None:
    """Write the index, which says that the pairs are complete, unless it is up to date."""
    folder = project.folder / pairs.NAME
    jobs = [shard.job for shard in planned.shards if shard.job is not None]
    index = pairs.pair_index(project, {job.block: job.record for job in jobs if job.block is not None})
    with suppress(MissingArtifact, CorruptArtifact):
        if pair_index.read_index(folder) == index:
            return
    pair_index.write_index(folder, index)
