"""The stages of program one, and their plans: which shards are fresh, and why the others are not.

A shard carries the record of what it was made from. It is fresh if that record equals the record of what it
would be made from now. Dates do not count. Upstream shards enter a record by the content that is really used,
so a stage that is redone with the same result makes no later stage stale.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lass3d_core.datasets import Block
from lass3d_core.errors import CorruptArtifact, StaleArtifact
from lass3d_core.files.fingerprint import reasons
from preprocess.project import Project
from preprocess.stages import entities, image_captions, pairs, text_embeddings
from preprocess.stages.stage import Job, Stage

STAGES: dict[str, Stage] = {
    module.NAME: module.STAGE for module in (image_captions, entities, text_embeddings, pairs)
}
"""Name -> stage, in the order of running."""

State = Literal["fresh", "stale", "missing", "waits"]


@dataclass(frozen=True)
class ShardPlan:
    """The state of a shard, with the reasons. job: makes it; None while it waits for an earlier stage."""

    path: Path
    state: State
    reasons: tuple[str, ...] = ()
    failures: int = 0
    job: Job | None = None


@dataclass(frozen=True)
class StagePlan:
    """The shards of a stage. waits_for: the stage that must run before the shards' records are known."""

    stage: Stage
    shards: tuple[ShardPlan, ...]
    waits_for: str | None = None

    @property
    def fresh(self) -> bool:
        return all(shard.state == "fresh" for shard in self.shards)

    @property
    def to_do(self) -> list[ShardPlan]:
        return [shard for shard in self.shards if shard.state != "fresh"]


def plan(project: Project, stage: Stage, fresh: dict[str, bool] | None = None) -> StagePlan:
    """Find the state of every shard of a stage from what is on disk. Raises DataError for a missing input.

    fresh: stage name -> whether it is fresh. Stages in it are not looked at again; others are added.
    """
    # On a large data set, looking at a stage takes minutes.
    fresh = {} if fresh is None else fresh
    for name in stage.needs(project.manifest):
        if name not in fresh:
            plan(project, STAGES[name], fresh)
    places = stage.places(project)
    waits_for = next((name for name in stage.needs(project.manifest) if not fresh[name]), None)
    if waits_for is None:
        shards = _retry_failures(project, [_plan_shard(project, stage, *place) for place in places])
    else:
        shards = [ShardPlan(path, "waits" if path.exists() else "missing") for _, path in places]
    planned = StagePlan(stage, tuple(shards), waits_for)
    fresh[stage.name] = planned.fresh
    return planned


def _plan_shard(project: Project, stage: Stage, block: Block | None, path: Path) -> ShardPlan:
    wanted = stage.fingerprint_record(project, block)
    job = Job(path, block, wanted)
    if not path.exists():
        return ShardPlan(path, "missing", job=job)
    try:
        record, failures = stage.read_record(path)
    except (CorruptArtifact, StaleArtifact) as error:
        return ShardPlan(path, "stale", (str(error).removeprefix(f"{path}: "),), job=job)
    why = tuple(reasons(record, wanted))
    return ShardPlan(path, "stale" if why else "fresh", why, failures, job)


def _retry_failures(project: Project, shards: list[ShardPlan]) -> list[ShardPlan]:
    """Mark shards with failed images as stale if more images failed than `max_failures` allows.

    Decision: so a cause outside the images, such as memory or a disk, needs no shard to be deleted by hand.
    Within the limit failures are final.
    """
    failed = sum(shard.failures for shard in shards if shard.state == "fresh")
    if not failed or failed <= project.failures_allowed:
        return shards
    why = (f"{failed} images failed, more than max_failures allows",)
    return [
        replace(shard, state="stale", reasons=why) if shard.state == "fresh" and shard.failures else shard
        for shard in shards
    ]
