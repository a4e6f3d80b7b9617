"""Images that a model or the disk refused: read from the shards, named, and counted against the limit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lass3d_core.errors import DataError
from preprocess.project import Failure, Project
from preprocess.stages.jsonl_shards import read_jsonl
from preprocess.stages.plan import Planned, Stage
from preprocess.status import plural

_SHOWN = 3


def recorded(stage: Stage, shards: Iterable[Planned]) -> list[Failure]:
    """The failures in those shards of a stage that are on disk."""
    paths = [shard.path for shard in shards if stage.unit == "images" and stage.made(shard.path).failures]
    images = [image for path in paths for image in read_jsonl(path)[1]]
    return [Failure(image["image_id"], image["error"]) for image in images if "error" in image]


def named(failures: Sequence[Failure]) -> str:
    """How many, and the first of them with the reason."""
    shown = "; ".join(f"{failure.image_id}: {failure.error}" for failure in failures[:_SHOWN])
    more = f"; and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
    return f"{plural(len(failures), 'image')} failed ({shown}{more})"


def stop_if_too_many(project: Project, stage: Stage, failures: Sequence[Failure]) -> None:
    """Raises DataError when more images of the stage failed than the manifest's `max_failures` allows."""
    if failures and len(failures) > project.failures_allowed:
        raise DataError(
            f"{stage.name}: {named(failures)}; max_failures {project.manifest.max_failures:g} "
            f"allows {project.failures_allowed}; mend them or raise it in the manifest and run again, what "
            "is done is kept"
        )
