"""Stage `image_captions` (C_i of the paper): a sentence about each image, with its grounded noun phrases.

One line of a shard is an image: {"image_id", "text", "phrases": [{"phrase", "box_xyxy"}], "raw"}, or
{"image_id", "error"}. Phrases are normalised and in the order of the caption. Boxes are in pixels, rounded to
hundredths.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from lass3d_core.datasets import Block
from lass3d_core.files.fingerprint import Record
from lass3d_core.pool import OnProgress
from lass3d_core.records import ImageCaption, ImageFile
from preprocess.lvm import identity_of, load_captioner, run_params
from preprocess.project import Project
from preprocess.stages.image_batches import answers, images_at_once
from preprocess.stages.jsonl_shards import content_digest, failures_in, read_jsonl, read_record, write_jsonl
from preprocess.stages.phrases import normalise, normalise_all
from preprocess.stages.stage import Failure, Job, MakeShard, Stage

NAME: Final = "image_captions"
SCHEMA = 1


def fingerprint_record(project: Project, block: Block) -> Record:
    """What a shard is made from: the captioner and the images."""
    spec = project.manifest.image_captions
    params = {"captioner": spec.name, "captioner params": identity_of(NAME, spec)}
    inputs = project.image_identities(one.image for one in project.images_of(block))
    return Record(stage=NAME, schema=SCHEMA, params=params, inputs=inputs, upstream={})


def load(project: Project) -> MakeShard:
    """Return the function that makes one shard. It loads the captioner at the first shard with images."""
    captioner = cache(partial(load_captioner, project.manifest.image_captions))

    def ask(images: list[np.ndarray], views: list[ImageFile]) -> list[ImageCaption]:
        return captioner().caption(images)

    def make_shard(job: Job, on_progress: OnProgress) -> list[Failure]:
        assert job.block is not None
        views = project.images_of(job.block)
        if views:
            captioner()  # not inside `ask`, where an error of loading would count as one of an image
        given = answers(views, ask, on_progress, images_at_once(run_params(NAME, project.manifest)))
        images = [_as_json(view, answer) for view, answer in zip(views, given)]
        write_jsonl(job.path, job.record, images, digests(images))
        return failures_in(images)

    return make_shard


def digests(images: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Digest each part of a shard that a later stage reads.

    vocabulary: the phrases of each image, for `entities`. texts: its sentence, for `text_embeddings`.
    """
    return {
        "vocabulary": content_digest({image["image_id"]: phrases_of(image) for image in images}),
        "texts": content_digest({image["image_id"]: image.get("text") for image in images}),
    }


def phrases_of(image: dict[str, Any]) -> list[str]:
    """The distinct phrases of an image's line; none if it failed."""
    return list(normalise_all(grounded["phrase"] for grounded in image.get("phrases", ())))


def captions_in(path: Path) -> dict[str, str | None]:
    """Read image_id -> sentence from a shard; None if it failed. Raises MissingArtifact, CorruptArtifact."""
    _, images, _ = read_jsonl(path)
    return {image["image_id"]: image.get("text") for image in images}


def _as_json(view: ImageFile, answer: ImageCaption | str) -> dict[str, Any]:
    if isinstance(answer, str):
        return {"image_id": view.image_id, "error": answer}
    phrases = [
        {"phrase": phrase, "box_xyxy": [round(float(side), 2) for side in grounded.box_xyxy]}
        for grounded in answer.phrases
        if (phrase := normalise(grounded.phrase)) is not None
    ]
    return {"image_id": view.image_id, "text": answer.text, "phrases": phrases, "raw": answer.raw}


STAGE = Stage(
    NAME, "images", "captions", ".jsonl", lambda manifest: (), fingerprint_record, read_record, load
)
