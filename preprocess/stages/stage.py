"""What a stage of program one is.

To add a stage: write a module beside this one that has the functions named below and ends with
`STAGE = Stage(...)`, and put it into the tuple in plan.py. Planning, resuming, status and the engines then
know it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lass3d_core.datasets import Block
from lass3d_core.files.fingerprint import Record
from lass3d_core.manifest.schema import Manifest
from lass3d_core.pool import OnProgress
from preprocess.project import Project


@dataclass(frozen=True)
class Job:
    """A shard to be made from a block of scans (None: the whole data set). record: to be written into it."""

    path: Path
    block: Block | None
    record: Record


@dataclass(frozen=True)
class Failure:
    """An image that a model or the disk refused."""

    image_id: str
    error: str


MakeShard = Callable[[Job, OnProgress], list[Failure]]
"""Makes one shard and returns its failed images."""

Stored = tuple[Record, int]
"""What a shard on disk was made from, and how many of its images failed."""


@dataclass(frozen=True)
class Stage:
    """One stage.

    unit: what its progress counts. command: the make target that runs it.
    per_block: it makes one shard per block of scans; otherwise one file for the whole data set.
    needs: the names of the stages that must be fresh first.
    fingerprint_record: what a shard would be made from now. Without per_block, the block is None.
    read_record: what a shard on disk says about itself. Raises CorruptArtifact, StaleArtifact.
    load: load the model and return the function that makes a shard.
    """

    name: str
    unit: str
    command: str
    per_block: bool
    suffix: str
    needs: Callable[[Manifest], tuple[str, ...]]
    fingerprint_record: Callable[[Project, Any], Record]
    read_record: Callable[[Path], Stored]
    load: Callable[[Project], MakeShard]

    def path_of(self, project: Project, block: Block | None) -> Path:
        name = self.name if block is None else f"{self.name}/{block.name}"
        return project.folder / f"{name}{self.suffix}"

    def places(self, project: Project) -> list[tuple[Block | None, Path]]:
        blocks: Sequence[Block | None] = project.blocks if self.per_block else (None,)
        return [(block, self.path_of(project, block)) for block in blocks]

    def units_of(self, project: Project, block: Block | None) -> int | None:
        """How many units a shard holds; None if that is not known before it is made."""
        if block is None:
            return None
        return len(block.scan_ids) if self.unit == "scans" else len(project.images_of(block))
