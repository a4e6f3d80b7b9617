"""Makes the shards of a stage: in this process or several of this machine (local), or on a cluster (ray).

Shards are independent, and each is written as a whole. So neither the number of processes nor a kill changes
a result: what is there is complete, and the next run makes the rest.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from lass3d_core.pool import OnProgress
from preprocess.project import Project
from preprocess.stages.plan import STAGES
from preprocess.stages.stage import Failure, Job


def run_shards(
    project: Project, stage: str, jobs: Sequence[Job], on_progress: OnProgress
) -> Generator[list[Failure], None, None]:
    """Make every shard; yields the failed images of each as it is written. Close the iterator to stop.

    Raises what a shard raises, and BackendUnavailable if a process is killed from outside.
    """
    if project.manifest.engine == "ray" and STAGES[stage].per_block:
        from preprocess.engine.ray_cluster import run_on_ray

        return run_on_ray(project, stage, jobs, on_progress)
    from preprocess.engine.local import run_here

    return run_here(project, stage, jobs, on_progress)
