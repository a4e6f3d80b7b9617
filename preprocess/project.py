"""What every stage is given: the manifest, the chosen data set and its shards' blocks of scans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lass3d_core.datasets import Block, Dataset, open_dataset
from lass3d_core.files.fingerprint import InputDigests, Record
from lass3d_core.manifest.schema import DatasetSpec, Manifest
from lass3d_core.records import FilePart, View

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Project:
    """One data set of the manifest."""

    manifest: Manifest
    name: str

    @property
    def spec(self) -> DatasetSpec:
        """Its section of the manifest."""
        return self.manifest.datasets[self.name]

    @property
    def folder(self) -> Path:
        """Where every artifact of the data set lies."""
        return self.manifest.artifacts_of(self.name)

    @cached_property
    def dataset(self) -> Dataset:
        """Its reader, opened once. Raises DataError."""
        return open_dataset(self.name, self.spec, self.folder)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The scans of every split, cut into units of work: one shard of every stage but the table."""
        return tuple(
            block for split in SPLITS for block in self.dataset.blocks(split, self.manifest.shard_scans)
        )

    @cached_property
    def inputs(self) -> InputDigests:
        """Content identity of the data set's files."""
        return InputDigests(self.folder / "inputs.json")

    @cached_property
    def failures_allowed(self) -> int:
        """How many images of the whole data set may fail: the share `max_failures`, rounded down."""
        return int(self.manifest.max_failures * sum(len(self.images_of(block)) for block in self.blocks))

    def views_of(self, block: Block) -> list[View]:
        """Every image of the block's scans, once, in order; none where the block's split is not captioned."""
        views = (view for scan_id in self._captioned(block) for view in self.dataset.views(scan_id))
        return list({view.image_id: view for view in views}.values())

    def images_of(self, block: Block) -> list[FilePart]:
        """The files of those images; none is opened."""
        files = (
            path for scan_id in self._captioned(block) for path in self.dataset.input_files(scan_id).images
        )
        return list(dict.fromkeys(files))

    def points_of(self, block: Block) -> list[FilePart]:
        """The files of the block's points, labels and cameras; none is opened.

        With them the images that are not captioned: their size decides which points fall into them, and no
        entity tells it.
        """
        read = [self.dataset.input_files(scan_id) for scan_id in block.scan_ids]
        files = [part for one in read for part in one.points]
        if not self._captioned(block):
            files += [part for one in read for part in one.images]
        if self.earlier_scans_of(block):
            files += [one.poses for one in read if one.poses is not None]
        return list(dict.fromkeys(files))

    def earlier_scans_of(self, block: Block) -> int:
        """How many scans before each one lend it their images: none where those bring no text."""
        return self.manifest.pairs.earlier_scans if self._captioned(block) else 0

    def block_of(self, scan_id: str) -> Block:
        """The block that holds a scan."""
        return self._block_of[scan_id]

    @cached_property
    def _block_of(self) -> dict[str, Block]:
        return {scan_id: block for block in self.blocks for scan_id in block.scan_ids}

    def _captioned(self, block: Block) -> tuple[str, ...]:
        """The block's scans if the language-vision models look at their images, else none."""
        return block.scan_ids if block.split in self.manifest.caption_splits else ()

    def identities(self, files: list[FilePart]) -> dict[str, str]:
        """Path below the data set's root -> digest of the content. Raises DataError for a missing file."""
        root = self.spec.root
        return {str(_below(root, part)): self.inputs.digest_of(part) for part in files}


def _below(root: Path, part: FilePart) -> FilePart:
    try:
        return replace(part, path=part.path.relative_to(root))
    except ValueError:
        return part


@dataclass(frozen=True)
class Job:
    """A shard to be made: where, from which scans (None: the whole data set), the record to write in it."""

    path: Path
    block: Block | None
    record: Record


@dataclass(frozen=True)
class Failure:
    """An image that a model or the disk refused."""

    image_id: str
    error: str


Tick = Callable[[int], None]
"""Told how many units (images, scans, texts) were done."""

Make = Callable[[Job, Tick], list[Failure]]
"""Makes one shard. A stage's `opened(project)` loads what it needs once and returns such a function."""
