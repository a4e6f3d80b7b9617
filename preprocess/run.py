"""Runs one stage: plan, say why, make what is not fresh, sum up."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from lass3d_core import pair_index
from lass3d_core.atomic import remove_parts, storage_errors
from lass3d_core.errors import CorruptArtifact, DataError, MissingArtifact, StaleArtifact, StorageError
from preprocess import pairs
from preprocess.engine import run_shards
from preprocess.jsonl_shards import read_jsonl
from preprocess.project import Failure, Project
from preprocess.stages import STAGES, Plan, Stage, failures_allowed, plan
from preprocess.status import why

_SHOWN_FAILURES = 3


@contextmanager
def only_one(project: Project) -> Iterator[None]:
    """Keep a second run away from the data set's artifacts. Raises StorageError naming the first."""
    path = project.folder / ".lock"
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StorageError(
                f"process {file.read().strip() or '?'} is already working on {project.folder}; "
                "wait until it is done, or end it"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def run_stage(project: Project, name: str) -> None:
    """Bring one stage up to date and print what was done.

    Raises MissingArtifact or StaleArtifact when an earlier stage has to be run first, DataError when more
    images failed than `max_failures` allows; whatever was made until then is kept.
    """
    stage = STAGES[name]
    planned = plan(project, stage)
    _refuse_if_waiting(project, planned)
    if planned.to_do:
        if name == pairs.NAME:
            (project.folder / name / pair_index.NAME).unlink(missing_ok=True)
        print(
            f"{name}: {len(planned.to_do)} of {_shards(len(planned.shards))} to make: {why(planned)}",
            flush=True,
        )
        _make(project, planned)
    failures = _failures_in(planned)
    named = f", {_named(failures)}" if failures else ""
    if not planned.to_do:
        print(f"{name}: fresh ({_shards(len(planned.shards))}{named})")
    elif failures:
        print(f"{name}: {_named(failures)}")
    if name == pairs.NAME:
        _write_index(project, planned)
    project.inputs.save()


def _refuse_if_waiting(project: Project, planned: Plan) -> None:
    if planned.waits_for is None:
        return
    earlier = STAGES[planned.waits_for]
    exists = any(path.exists() for _, path in earlier.places(project))
    kind, state = (StaleArtifact, "not up to date") if exists else (MissingArtifact, "missing")
    raise kind(f"{planned.stage.name} needs {earlier.name}, which is {state}; run `make {earlier.command}`")


def _make(project: Project, planned: Plan) -> None:
    stage, jobs = planned.stage, [shard.job for shard in planned.to_do if shard.job is not None]
    for folder in {job.path.parent for job in jobs}:
        remove_parts(folder)
    units = [stage.units_of(project, job.block) for job in jobs]
    total = None if None in units else sum(unit for unit in units if unit is not None)
    started, done = time.monotonic(), 0
    with tqdm(total=total, desc=stage.name, unit=stage.unit.removesuffix("s"), disable=None) as bar:

        def tick(count: int) -> None:
            nonlocal done
            done += count
            bar.update(count)

        failures = [
            failure
            for shard in planned.shards
            if shard.state == "fresh"
            for failure in _failures_of(stage, shard.path)
        ]
        for failed in run_shards(project, stage.name, jobs, tick):
            failures += failed
            _stop_if_too_many(project, stage, failures)
    seconds = time.monotonic() - started
    where = jobs[0].path.parent if stage.per_block else jobs[0].path
    rate = f"{done} {stage.unit} in {seconds:.1f} s, {done / max(seconds, 1e-9):.3g}/s"
    print(f"{stage.name}: wrote {_shards(len(jobs))} ({rate}) to {where}", flush=True)


def _stop_if_too_many(project: Project, stage: Stage, failures: Sequence[Failure]) -> None:
    allowed = failures_allowed(project, stage)
    if len(failures) > allowed:
        raise DataError(
            f"{stage.name}: {_named(failures)}; max_failures {project.manifest.max_failures:g} allows {allowed}; "
            "mend them or raise it in the manifest and run again, what is done is kept"
        )


def _failures_in(planned: Plan) -> list[Failure]:
    return [failure for shard in planned.shards for failure in _failures_of(planned.stage, shard.path)]


def _failures_of(stage: Stage, path: Path) -> list[Failure]:
    """The failed images of a shard on disk."""
    if stage.unit != "images" or not stage.made(path).failures:
        return []
    _, images, _ = read_jsonl(path)
    return [Failure(image["image_id"], image["error"]) for image in images if "error" in image]


def _named(failures: Sequence[Failure]) -> str:
    shown = "; ".join(f"{failure.image_id}: {failure.error}" for failure in failures[:_SHOWN_FAILURES])
    more = f"; and {len(failures) - _SHOWN_FAILURES} more" if len(failures) > _SHOWN_FAILURES else ""
    return f"{len(failures)} image{'s' if len(failures) > 1 else ''} failed ({shown}{more})"


def _write_index(project: Project, planned: Plan) -> None:
    """Write the index of the complete pairs, unless it says so already."""
    folder = project.folder / pairs.NAME
    records = {
        job.block: job.record
        for job in (shard.job for shard in planned.shards)
        if job is not None and job.block
    }
    index = pairs.pair_index(project, records)
    try:
        if pair_index.read_index(folder) == index:
            return
    except (MissingArtifact, CorruptArtifact):
        pass
    pair_index.write_index(folder, index)


def _shards(count: int) -> str:
    return f"{count} shard{'' if count == 1 else 's'}"
