"""Read what preprocess wrote: classes, captions, entities, and where the pictures lie."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from lass3d_core.datasets import Dataset
from lass3d_core.errors import CorruptArtifact, Lass3dError
from lass3d_core.files.json_files import parse_json
from lass3d_core.files.shards import ShardHeader
from lass3d_core.labels import LabelSpace
from lass3d_core.records import Entity, FilePart, GroundedPhrase, ImageCaption, RunLengthMask
from train.data.paired_scans import PairedScans
from train.report.images import PicturedImage


def label_space(header: ShardHeader) -> LabelSpace:
    """The classes as the shards record them. Of the raw ids it knows only those that a submission writes."""
    train_id_of_raw = {raw: train_id for train_id, raw in enumerate(header.raw_ids)}
    return LabelSpace(header.class_names, train_id_of_raw, header.raw_ids, header.colours)


def pictured_images(
    scans: PairedScans, scan_ids: Sequence[str], dataset: Dataset | None
) -> list[PicturedImage]:
    """The images of the named scans, with their captions and entities.

    dataset: knows where the pictures lie. Without it, and for pictures that it does not find, file is None.
    An image that no shard of captions or entities mentions has none. Raises CorruptArtifact.
    """
    # A scan may borrow the images of earlier scans; only its own count here.
    files = _files(dataset, scan_ids)
    image_ids = [
        image_id
        for scan_id in scan_ids
        for image_id in scans.read(scan_id).pairs.image_ids
        if image_id in files or image_id.startswith(f"{scan_id}/")
    ]
    blocks = list(dict.fromkeys(scans.block(scan_id) for scan_id in scan_ids))
    captions = _records(scans.folder / "image_captions", blocks, set(image_ids))
    entities = _records(scans.folder / "entities", blocks, set(image_ids))
    return [
        PicturedImage(one, files.get(one), _caption(captions.get(one)), _entities(entities.get(one)))
        for one in image_ids
    ]


def _files(dataset: Dataset | None, scan_ids: Sequence[str]) -> dict[str, FilePart]:
    """image id -> its picture; empty if the data set is no longer where it was."""
    try:
        images = [one for scan_id in scan_ids for one in dataset.images(scan_id)] if dataset else []
    except Lass3dError:
        return {}
    return {one.image_id: one.image for one in images}


def _records(folder: Path, blocks: Sequence[str], image_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """image id -> its record in the JSONL shards of `blocks`. Failed images are left out."""
    return {
        record["image_id"]: record
        for block in blocks
        for record in _lines(folder / f"{block}.jsonl")
        if record.get("image_id") in image_ids and "error" not in record
    }


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects in a file; none if the file is missing."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield parse_json(line)
            except ValueError:
                problem = f"{path}: line {number} is not JSON; delete it and run `make captions`"
                raise CorruptArtifact(problem) from None


def _caption(record: dict[str, Any] | None) -> ImageCaption | None:
    if record is None:
        return None
    phrases = tuple(GroundedPhrase(item["phrase"], tuple(item["box_xyxy"])) for item in record["phrases"])
    return ImageCaption(record["text"], phrases, record["raw"])


def _entities(record: dict[str, Any] | None) -> tuple[Entity, ...]:
    """The entities that were found in the whole image; those of further looks show the same things again."""
    if record is None:
        return ()
    size_hw = tuple(record["size_hw"])
    return tuple(
        Entity(one["phrase"], one["score"], tuple(one["box_xyxy"]), RunLengthMask(size_hw, one["mask"]))
        for one in record["entities"]
        if one.get("look", "whole") == "whole"
    )
