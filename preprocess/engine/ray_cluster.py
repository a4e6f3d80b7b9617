"""Makes the shards of a stage on a Ray cluster: one actor per GPU (or core), which loads the model once.

Every host must see the data set and the artifacts under the same paths. A shard is written whole or not at
all, so if a worker or a host is lost, another worker makes its shard again.
"""

from __future__ import annotations

import logging
import socket
from collections import Counter, deque
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

from lass3d_core.errors import BackendUnavailable, Lass3dError
from lass3d_core.manifest.schema import Manifest
from lass3d_core.pool import OnProgress
from preprocess.lvm import run_params
from preprocess.project import Project
from preprocess.stages.plan import STAGES
from preprocess.stages.stage import Failure, Job, MakeShard

TRIES = 3
"""A shard that loses so many workers stops the stage: the shard itself must be what ends them."""


Resources = tuple[int, float, float]
"""The number of workers, and the cores and the GPUs that each one holds."""


class ShardMaker:
    """A worker: loads the model at its first shard, so that an error of loading is an error of that shard."""

    def __init__(self, project: Project, stage: str) -> None:
        self._project, self._stage = project, stage
        self._make_shard: MakeShard | None = None

    def make(self, job: Job) -> list[Failure]:
        self._make_shard = self._make_shard or STAGES[self._stage].load(self._project)
        return self._make_shard(job, lambda units: None)


def run_on_ray(
    project: Project, stage: str, jobs: Sequence[Job], on_progress: OnProgress
) -> Generator[list[Failure], None, None]:
    """Make every shard; see preprocess.engine.run_shards. Progress comes shard by shard.

    Raises BackendUnavailable if there is no Ray or no cluster, or if a shard loses TRIES workers.
    """
    ray = _connected(project.manifest)
    run = run_params(stage, project.manifest)
    workers, cpus, gpus = resources_for(run, project.manifest, ray.cluster_resources())
    bare = replace(project)  # a copy without what this process has cached
    actor = ray.remote(ShardMaker).options(num_cpus=cpus, num_gpus=gpus, max_restarts=0)
    waiting, lost = deque(jobs), Counter[str]()
    busy: dict[Any, tuple[Any, Job]] = {}  # pending call -> its worker and shard

    def give(worker: Any) -> None:
        job = waiting.popleft()
        busy[worker.make.remote(job)] = (worker, job)

    try:
        for _ in range(min(workers, len(jobs))):
            give(actor.remote(bare, stage))
        while busy:
            (answered,), _ = ray.wait([*busy], num_returns=1)
            worker, job = busy.pop(answered)
            try:
                failures = _answer(ray, answered)
            except ray.exceptions.RayActorError:
                lost[job.path.name] += 1
                if lost[job.path.name] >= TRIES:
                    raise BackendUnavailable(
                        f"{stage}: {TRIES} workers were lost while they made {job.path} (out of memory?); "
                        "what is done is kept, run again"
                    ) from None
                waiting.append(job)
                give(actor.remote(bare, stage))
                continue
            on_progress(STAGES[stage].units_of(project, job.block) or 0)
            yield failures
            if waiting:
                give(worker)
            else:
                ray.kill(worker)  # another worker may wait for its core, if a host was lost
    finally:
        for worker, _ in busy.values():
            ray.kill(worker)


def resources_for(run: Any, manifest: Manifest, cluster: dict[str, float]) -> Resources:
    """A worker takes a GPU if the stage's model has weights and the cluster has GPUs; otherwise a core.

    run: the model's RunParams; None if it has no weights. There are at most `workers` of the manifest.
    """
    gpus, cpus = int(cluster.get("GPU", 0)), int(cluster.get("CPU", 0))
    on_gpu = run is not None and run.device in ("auto", "cuda") and gpus > 0
    there = gpus if on_gpu else cpus
    if there < 1:
        raise BackendUnavailable("the Ray cluster has no core; add a host: ray start --address=HEAD:6379")
    return min(there, manifest.workers or there), 0.0 if on_gpu else 1.0, 1.0 if on_gpu else 0.0


def _connected(manifest: Manifest) -> Any:
    """The package ray, connected to the manifest's cluster."""
    try:
        import ray
    except ImportError:
        raise BackendUnavailable(
            "engine: ray needs the package ray; pip install 'lass3d[ray]', or set engine: local"
        ) from None
    if ray.is_initialized():
        return ray
    address = manifest.ray_address
    host, _, port = address.rpartition(":")
    try:
        if host and "/" not in address and port.isdigit():
            # Raises OSError if nobody listens. Ray itself would try for minutes.
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        why = f"no Ray cluster at {address!r} ({reason}); start one: ray start --head"
        raise BackendUnavailable(why) from None
    return ray


def _answer(ray: Any, asked: Any) -> list[Failure]:
    """The worker's answer. Raises its Lass3dError as it was, and RayActorError if the worker is lost."""
    try:
        return list(ray.get(asked) or ())
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, Lass3dError):
            raise error.cause from None
        raise
