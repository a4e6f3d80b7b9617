"""`Project`: what every stage gets. The manifest, the chosen data set, and its scans in blocks."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lass3d_core.datasets import Block, Dataset, open_dataset
from lass3d_core.errors import DataError
from lass3d_core.files.fingerprint import InputDigests
from lass3d_core.manifest.schema import DatasetSpec, Manifest, VoteSpec
from lass3d_core.records import FilePart, ImageFile

SPLITS = ("train", "val", "test")

ABSENT = "absent"  # the identity of an image that is missing or cannot be read


@dataclass(frozen=True)
class Project:
    """One data set of the manifest."""

    manifest: Manifest
    name: str

    @property
    def spec(self) -> DatasetSpec:
        """The data set's section of the manifest."""
        return self.manifest.datasets[self.name]

    @property
    def folder(self) -> Path:
        """The folder of all artifacts of the data set."""
        return self.manifest.artifacts_of(self.name)

    @cached_property
    def dataset(self) -> Dataset:
        """The data set's reader, opened once. Raises DataError."""
        return open_dataset(self.spec, self.folder)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The scans of every split, cut into blocks. Most stages make one shard per block."""
        size = self.manifest.shard_scans
        return tuple(block for split in SPLITS for block in self.dataset.blocks(split, size))

    @cached_property
    def inputs(self) -> InputDigests:
        """Digests of the data set's files, kept on disk."""
        return InputDigests(self.folder / "inputs.json")

    @cached_property
    def image_count(self) -> int:
        """How many images of the data set are to be captioned."""
        return sum(len(self.images_of(block)) for block in self.blocks)

    @property
    def failures_allowed(self) -> int:
        """How many images of the data set may fail: the share `max_failures` of them, rounded down."""
        return int(self.manifest.max_failures * self.image_count)

    def images_of(self, block: Block) -> list[ImageFile]:
        """Every image of the block's scans, once, in order; none if the block's split is not captioned."""
        images = (one for scan_id in self._captioned(block) for one in self.dataset.images(scan_id))
        return list({one.image_id: one for one in images}.values())

    def points_of(self, block: Block) -> list[FilePart]:
        """The files of the block's points, labels, cameras and poses. No file is opened.

        With a vote, also the points and cameras of the scans of other blocks that vote.
        """
        read = [self.dataset.input_files(scan_id) for scan_id in block.scan_ids]
        files = [part for one in read for part in one.points]
        vote = self.vote_of(block)
        if self.earlier_scans_of(block) or (vote and vote.other_scans):
            files += [one.poses for one in read if one.poses is not None]
        if vote:
            lent = (one for scan_id in block.scan_ids for one in self.lending_scans(scan_id))
            others = [self.dataset.input_files(one) for one in dict.fromkeys(lent)]
            files += [part for one in others for part in one.points if part != one.labels]
        return list(dict.fromkeys(files))

    def uncaptioned_images_of(self, block: Block) -> list[FilePart]:
        """The files of the images that are not captioned."""
        # An image's size decides which points fall into it. The size of a captioned image is in its entities.
        if self._captioned(block):
            return []
        return [one.image for scan_id in block.scan_ids for one in self.dataset.images(scan_id)]

    def earlier_scans_of(self, block: Block) -> int:
        """How many earlier scans lend their images to each scan; none if the block is not captioned."""
        return self.manifest.pairs.earlier_scans if self._captioned(block) else 0

    def vote_of(self, block: Block) -> VoteSpec | None:
        """The vote on the points of a block; none if the block is not captioned."""
        return self.manifest.pairs.vote if self._captioned(block) else None

    def lending_scans(self, scan_id: str) -> tuple[str, ...]:
        """The other scans whose images name points of this one: earlier ones, then later ones, nearest first.

        None if this scan's images are not captioned. All are of its sequence, and so of its split.
        """
        block = self.block_of(scan_id)
        vote = self.vote_of(block)
        if vote is None:
            return self.dataset.scans_before(scan_id, self.earlier_scans_of(block))
        before = self.dataset.scans_before(scan_id, vote.earlier)
        after = self.dataset.scans_after(scan_id, vote.later)
        return *before[vote.stride - 1 :: vote.stride], *after[vote.stride - 1 :: vote.stride]

    def block_of(self, scan_id: str) -> Block:
        """The block that a scan belongs to."""
        return self._block_of[scan_id]

    @cached_property
    def _block_of(self) -> dict[str, Block]:
        return {scan_id: block for block in self.blocks for scan_id in block.scan_ids}

    def _captioned(self, block: Block) -> tuple[str, ...]:
        """The block's scans if their images are captioned, else none."""
        return block.scan_ids if block.split in self.manifest.caption_splits else ()

    def identities(self, files: list[FilePart]) -> dict[str, str]:
        """Map each file, below the data set's root, to the digest of its content. Raises DataError."""
        return {self._name_of(part): self.inputs.digest_of(part) for part in files}

    def image_identities(self, images: Iterable[FilePart]) -> dict[str, str]:
        """The same for images, of which some may be missing or unreadable: their digest says so."""
        found = {}
        for part in images:
            found[self._name_of(part)] = ABSENT
            with suppress(DataError):
                found[self._name_of(part)] = self.inputs.digest_of(part)
        return found

    def _name_of(self, part: FilePart) -> str:
        root = self.spec.root
        inside = part.path.is_relative_to(root)
        return str(replace(part, path=part.path.relative_to(root)) if inside else part)
