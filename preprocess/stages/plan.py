"""The stages of program one, in order, and for each shard of each: is it fresh, and if not, why.

A shard carries the record of what it was made from. It is fresh when that equals the record of what it would
be made from now, so freshness never rests on dates or on a file's mere presence. Upstream shards enter a
record by the content that is really used: a stage that is redone with the same result redoes nothing after
it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lass3d_core.datasets import Block
from lass3d_core.errors import CorruptArtifact, StaleArtifact
from lass3d_core.files.fingerprint import Record, reasons
from lass3d_core.files.shards import ShardReader
from lass3d_core.files.text_table import read_text_table_record
from lass3d_core.manifest.schema import Manifest
from preprocess.project import Job, Make, Project
from preprocess.stages import entities, image_captions, pairs, text_embeddings
from preprocess.stages.jsonl_shards import read_ends

State = Literal["fresh", "stale", "missing", "waits"]


@dataclass(frozen=True)
class Made:
    """What a shard on disk says of itself: the record that it was made from, its images that failed."""

    record: Record
    failures: int = 0


@dataclass(frozen=True)
class Stage:
    """One row of the table.

    unit: what its progress counts. command: the make target that runs it. needs: the stages that must be
    fresh before. per_block: one shard per block of scans, or one file for the data set. record: what a shard
    would be made from now. made: what a shard on disk was made from. opened: loads the model and returns the
    function that makes a shard.
    """

    name: str
    unit: str
    command: str
    needs: Callable[[Manifest], tuple[str, ...]]
    per_block: bool
    suffix: str
    record: Callable[[Project, Block | None], Record]
    made: Callable[[Path], Made]
    opened: Callable[[Project], Make]

    def places(self, project: Project) -> list[tuple[Block | None, Path]]:
        """Every shard's block and file."""
        if not self.per_block:
            return [(None, project.folder / f"{self.name}{self.suffix}")]
        folder = project.folder / self.name
        return [(block, folder / f"{block.name}{self.suffix}") for block in project.blocks]

    def units_of(self, project: Project, block: Block | None) -> int | None:
        """How many units a shard holds; None where only the making tells."""
        if block is None:
            return None
        return len(block.scan_ids) if self.unit == "scans" else len(project.images_of(block))


@dataclass(frozen=True)
class Planned:
    """A shard's state with the reasons; the job that makes it, unless it waits for an earlier stage."""

    path: Path
    state: State
    reasons: tuple[str, ...] = ()
    failures: int = 0
    job: Job | None = None


@dataclass(frozen=True)
class StagePlan:
    """A stage's shards. waits_for: the stage that must be run before its records can be known."""

    stage: Stage
    shards: tuple[Planned, ...]
    waits_for: str | None = None

    @property
    def fresh(self) -> bool:
        """Whether there is nothing to do."""
        return all(shard.state == "fresh" for shard in self.shards)

    @property
    def to_do(self) -> list[Planned]:
        """The shards to be made, in their order."""
        return [shard for shard in self.shards if shard.state != "fresh"]


def plan(project: Project, stage: Stage, fresh: dict[str, bool] | None = None) -> StagePlan:
    """The state of every shard of a stage, from what lies on disk. Raises DataError for a missing input.

    fresh: which stages are; those that are looked at are added, and none is looked at twice. Of a large data
    set every look takes minutes.
    """
    known = {} if fresh is None else fresh
    planned = _plan(project, stage, known)
    known[stage.name] = planned.fresh
    return planned


def _plan(project: Project, stage: Stage, fresh: dict[str, bool]) -> StagePlan:
    waits_for = None
    for name in stage.needs(project.manifest):
        if name not in fresh:
            plan(project, STAGES[name], fresh)
        if not fresh[name]:
            waits_for = name
            break
    if waits_for is not None:
        shards = [Planned(path, "waits" if path.exists() else "missing") for _, path in stage.places(project)]
        return StagePlan(stage, tuple(shards), waits_for)
    shards = [_planned(project, stage, block, path) for block, path in stage.places(project)]
    return StagePlan(stage, tuple(_retried(project, shards)))


def _planned(project: Project, stage: Stage, block: Block | None, path: Path) -> Planned:
    wanted = stage.record(project, block)
    job = Job(path, block, wanted)
    if not path.exists():
        return Planned(path, "missing", job=job)
    try:
        made = stage.made(path)
    except (CorruptArtifact, StaleArtifact) as error:
        return Planned(path, "stale", (str(error).removeprefix(f"{path}: "),), job=job)
    why = tuple(reasons(made.record, wanted))
    return Planned(path, "stale" if why else "fresh", why, made.failures, job)


def _retried(project: Project, shards: list[Planned]) -> list[Planned]:
    """Decision: while more images failed than `max_failures` allows, the shards that hold failures are tried
    again.

    So a cause that lay outside the images (memory, a disk) needs no hand; within the limit failures are
    final.
    """
    failed = sum(shard.failures for shard in shards if shard.state == "fresh")
    if not failed or failed <= project.failures_allowed:
        return shards
    why = (f"{failed} images failed, more than max_failures allows",)
    return [
        replace(shard, state="stale", reasons=why) if shard.state == "fresh" and shard.failures else shard
        for shard in shards
    ]


def _made_jsonl(path: Path) -> Made:
    header, footer = read_ends(path)
    return Made(header.record, footer.failures)


def _made_pairs(path: Path) -> Made:
    reader = ShardReader(path)
    try:
        return Made(reader.header.record)
    finally:
        reader.close()


STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            name=image_captions.NAME,
            unit="images",
            command="captions",
            needs=lambda manifest: (),
            per_block=True,
            suffix=".jsonl",
            record=image_captions.record,
            made=_made_jsonl,
            opened=image_captions.opened,
        ),
        Stage(
            name=entities.NAME,
            unit="images",
            command="captions",
            needs=entities.needs,
            per_block=True,
            suffix=".jsonl",
            record=entities.record,
            made=_made_jsonl,
            opened=entities.opened,
        ),
        Stage(
            name=text_embeddings.NAME,
            unit="texts",
            command="captions",
            needs=lambda manifest: (image_captions.NAME, entities.NAME),
            per_block=False,
            suffix=".h5",
            record=lambda project, block: text_embeddings.record(project),
            made=lambda path: Made(read_text_table_record(path)),
            opened=text_embeddings.opened,
        ),
        Stage(
            name=pairs.NAME,
            unit="scans",
            command="pairs",
            needs=lambda manifest: (entities.NAME,),
            per_block=True,
            suffix=".h5",
            record=pairs.record,
            made=_made_pairs,
            opened=pairs.opened,
        ),
    )
}
"""Name -> stage, in the order of running."""
