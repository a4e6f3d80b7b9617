"""Stage `image_captions` (C_i of the paper): what each image shows, in a sentence, with its grounded noun
phrases.

Record of an image: {"image_id", "text", "phrases": [{"phrase", "box_xyxy"}], "raw"}, or {"image_id",
"error"}. Phrases are normalised, in the order of the caption; boxes are in pixels, rounded to hundredths.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lass3d_core.datasets import Block
from lass3d_core.files.fingerprint import Record
from lass3d_core.records import ImageCaption, View
from preprocess.lvm import identity_of, load_captioner, run_params
from preprocess.project import Failure, Job, Make, Project, Tick
from preprocess.stages.image_batches import answers, images_at_once
from preprocess.stages.jsonl_shards import content_digest, read_jsonl, write_jsonl
from preprocess.stages.phrases import normalise, normalise_all

NAME = "image_captions"
SCHEMA = 1


def record(project: Project, block: Block) -> Record:
    """What a shard is made from: the captioner and the images."""
    spec = project.manifest.image_captions
    return Record(
        stage=NAME,
        schema=SCHEMA,
        params={"captioner": spec.name, "captioner params": identity_of(NAME, spec)},
        inputs=project.identities(project.images_of(block)),
        upstream={},
    )


def opened(project: Project) -> Make:
    """Load the captioner; the returned function makes one shard."""
    captioner = load_captioner(project.manifest.image_captions)

    def ask(images: list[np.ndarray], views: list[View]) -> list[ImageCaption]:
        return captioner.caption(images)

    def make(job: Job, tick: Tick) -> list[Failure]:
        assert job.block is not None
        views = project.views_of(job.block)
        at_once = images_at_once(run_params(NAME, project.manifest))
        images = [_as_json(view, answer) for view, answer in zip(views, answers(views, ask, tick, at_once))]
        write_jsonl(job.path, job.record, images, digests(images))
        return failures(images)

    return make


def digests(images: Sequence[dict[str, Any]]) -> dict[str, str]:
    """vocabulary: each image's phrases, which `entities` reads. texts: its sentence, for the table."""
    return {
        "vocabulary": content_digest({image["image_id"]: phrases_of(image) for image in images}),
        "texts": content_digest({image["image_id"]: image.get("text") for image in images}),
    }


def phrases_of(image: dict[str, Any]) -> list[str]:
    """The distinct phrases of an image's record; none where it failed."""
    return list(normalise_all(grounded["phrase"] for grounded in image.get("phrases", ())))


def failures(images: Sequence[dict[str, Any]]) -> list[Failure]:
    """The images of a shard that failed; the same for `entities`."""
    return [Failure(image["image_id"], image["error"]) for image in images if "error" in image]


def captions_in(path: Path) -> dict[str, str | None]:
    """image_id -> sentence of a shard; None where it failed. Raises MissingArtifact, CorruptArtifact."""
    _, images, _ = read_jsonl(path)
    return {image["image_id"]: image.get("text") for image in images}


def _as_json(view: View, answer: ImageCaption | str) -> dict[str, Any]:
    if isinstance(answer, str):
        return {"image_id": view.image_id, "error": answer}
    grounded = [(normalise(item.phrase), item.box_xyxy) for item in answer.phrases]
    return {
        "image_id": view.image_id,
        "text": answer.text,
        "phrases": [
            {"phrase": phrase, "box_xyxy": [round(float(side), 2) for side in box]}
            for phrase, box in grounded
            if phrase is not None
        ],
        "raw": answer.raw,
    }
