"""Runs the shards of a stage: here, in several processes that each load the model once, or on a Ray cluster.

Shards are independent and each is written whole, so neither the number of processes nor a kill changes any
result: what is there is complete, and the next run makes the rest.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from lass3d_core.errors import BackendUnavailable, Lass3dError
from preprocess.engine.ctrl_c import ctrl_c_held_back
from preprocess.engine.gpus import VISIBLE, visible_gpus
from preprocess.lvm import run_params
from preprocess.project import Failure, Job, Project, Tick
from preprocess.stages.plan import STAGES


@dataclass(frozen=True)
class Ticked:
    """A worker's message: so many units more are done."""

    units: int


@dataclass(frozen=True)
class Finished:
    """A worker's message: its shard is written; these images of it failed."""

    failures: list[Failure]


Message = Ticked | Finished | Lass3dError | None
"""What a worker sends. None: its model is loaded."""


def workers_for(project: Project, stage: str, shards: int) -> tuple[str | None, ...]:
    """One entry per process that makes `shards` shards: the GPU that it alone sees, None for any.

    A model with weights is loaded once per GPU, or once where there is none or `run.device` names one device;
    anything else runs in one process per core. `workers` of the manifest is the most, and so are the shards.
    """
    run, at_most = run_params(stage, project.manifest), project.manifest.workers
    if run is None:
        return (None,) * max(1, min(shards, at_most or len(os.sched_getaffinity(0))))
    gpus = visible_gpus() if run.device == "auto" else ()
    return gpus[: min(shards, at_most or len(gpus))] or (None,)


def run_shards(project: Project, stage: str, jobs: Sequence[Job], tick: Tick) -> Iterator[list[Failure]]:
    """Make every shard; yields the failed images of each as it is written. Stop iterating to stop the work.

    Raises what a shard raises, and BackendUnavailable when a process is killed from outside.
    """
    if project.manifest.engine == "ray" and STAGES[stage].per_block:
        from preprocess.engine.ray_cluster import run_on_ray

        yield from run_on_ray(project, stage, jobs, tick)
        return
    workers = workers_for(project, stage, len(jobs))
    if len(workers) > 1:
        yield from _run_beside(project, stage, jobs, tick, workers)
    else:
        make = STAGES[stage].opened(project)
        for job in jobs:
            yield make(job, tick)


def _run_beside(
    project: Project, stage: str, jobs: Sequence[Job], tick: Tick, gpus: Sequence[str | None]
) -> Iterator[list[Failure]]:
    waiting = list(jobs)
    with _workers(project, stage, gpus) as workers:
        while workers:
            for connection in wait(list(workers)):
                assert isinstance(connection, Connection)
                match _received(connection, workers[connection], stage):
                    case Ticked(units):
                        tick(units)
                        continue
                    case Finished(failures):
                        yield failures
                    case Lass3dError() as error:
                        raise error
                if waiting:
                    connection.send(waiting.pop(0))
                else:
                    connection.send(None)
                    del workers[connection]


@contextmanager
def _workers(
    project: Project, stage: str, gpus: Sequence[str | None]
) -> Iterator[dict[Connection, BaseProcess]]:
    """Processes by our end of the pipe to each. Whatever happens, none outlives the block."""
    spawn = multiprocessing.get_context("spawn")  # a forked process cannot use a GPU
    bare = replace(project)  # without what this process has cached
    started: dict[Connection, BaseProcess] = {}
    try:
        for gpu in gpus:
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_serve, args=(theirs, bare, stage, gpu), daemon=True)
            with ctrl_c_held_back():
                process.start()
                started[ours] = process
            theirs.close()
        yield dict(started)
        for process in started.values():
            process.join()
    finally:
        for connection, process in started.items():
            process.terminate()
            process.join()
            connection.close()


def _serve(parent: Connection, project: Project, stage: str, gpu: str | None) -> None:
    """A worker: load the model, then make the shards that arrive, until None does or the parent is gone."""
    if gpu is not None:
        os.environ[VISIBLE] = gpu  # before anything loads CUDA
    try:
        make = STAGES[stage].opened(project)
        parent.send(None)
        while (job := parent.recv()) is not None:
            parent.send(Finished(make(job, lambda units: parent.send(Ticked(units)))))
    except (EOFError, ConnectionError):
        return
    except Lass3dError as error:
        parent.send(error)


def _received(connection: Connection, process: BaseProcess, stage: str) -> Message:
    try:
        message: Message = connection.recv()
        return message
    except (EOFError, ConnectionError):
        process.join()
    code = process.exitcode or 0
    if code < 0:
        raise BackendUnavailable(
            f"{stage}: a worker process was ended by {signal.Signals(-code).name} (out of memory?); "
            "set `workers: 1` in the manifest and run again, what is done is kept"
        )
    raise RuntimeError(f"{stage}: a worker process failed; its traceback stands above")
