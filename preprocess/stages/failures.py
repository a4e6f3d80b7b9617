"""Failed images, as the JSON-lines shards of `image_captions` and `entities` record them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from preprocess.stages.jsonl_shards import read_ends, read_jsonl
from preprocess.stages.stage import Failure, Stage, StoredRecord


def read_record(path: Path) -> StoredRecord:
    """What a JSON-lines shard says about itself. Raises MissingArtifact, CorruptArtifact."""
    header, footer = read_ends(path)
    return StoredRecord(header.record, footer.failures)


def failures_in(images: Sequence[dict[str, Any]]) -> list[Failure]:
    """The failed ones among the lines of a shard."""
    return [Failure(image["image_id"], image["error"]) for image in images if "error" in image]


def failures_on_disk(stage: Stage, paths: Iterable[Path]) -> list[Failure]:
    """The failed images of shards that are on disk; none if the stage looks at no image."""
    with_failures = [path for path in paths if stage.unit == "images" and stage.read_record(path).failures]
    return [failure for path in with_failures for failure in failures_in(read_jsonl(path)[1])]
