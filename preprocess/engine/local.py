"""Makes the shards of a stage on this machine: in this process, or in one per GPU or core."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

from lass3d_core.errors import BackendUnavailable
from lass3d_core.pool import OnProgress, WorkerDied, run_tasks
from preprocess.lvm import run_params
from preprocess.project import Project
from preprocess.stages.plan import STAGES
from preprocess.stages.stage import Failure, Job, MakeShard

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""NVIDIA's environment variable: the GPUs that a process sees, by number or name, separated by commas."""


def run_here(
    project: Project, stage: str, jobs: Sequence[Job], on_progress: OnProgress
) -> Generator[list[Failure], None, None]:
    """Make every shard; see preprocess.engine.run_shards."""
    gpus = workers_for(project, stage, len(jobs))
    if len(gpus) > 1:
        load = partial(_load, replace(project), stage)  # a copy without what this process has cached
    else:
        load, gpus = partial(_load, project, stage), (None,)  # this process keeps all its GPUs
    with closing(run_tasks(load, jobs, gpus, on_progress)) as ended:
        for finished in ended:
            if isinstance(finished.error, WorkerDied):
                raise BackendUnavailable(
                    f"{stage}: {finished.error} while it made {finished.task.path}; "
                    "set `workers: 1` in the manifest and run again, what is done is kept"
                )
            yield finished.result()


def workers_for(project: Project, stage: str, shards: int) -> tuple[str | None, ...]:
    """One entry per process that makes `shards` shards: the GPU that it alone sees, or None for all of them.

    A model with weights is loaded once per GPU. It is loaded once in all if there is no GPU, or if
    `run.device` names one device. Any other stage runs in one process per core.
    There are never more processes than shards, or than `workers` of the manifest.
    """
    run, at_most = run_params(stage, project.manifest), project.manifest.workers
    if run is None:
        return (None,) * max(1, min(shards, at_most or len(os.sched_getaffinity(0))))
    gpus = visible_gpus() if run.device == "auto" else ()
    return gpus[: min(shards, at_most or len(gpus))] or (None,)


def visible_gpus() -> tuple[str, ...]:
    """The GPUs in CUDA_VISIBLE_DEVICES; if it is not set, those that nvidia-smi lists."""
    # PyTorch is not asked: the parent of the workers does not need to load it.
    named = os.environ.get(VISIBLE)
    if named is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip() not in ("", "-1"))
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    command = [tool, "--query-gpu=index", "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return tuple(answer.stdout.split()) if answer.returncode == 0 else ()


def _load(project: Project, stage: str, gpu: str | None) -> MakeShard:
    if gpu is not None:
        os.environ[VISIBLE] = gpu  # before anything loads CUDA
    return STAGES[stage].load(project)
