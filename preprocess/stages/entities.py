"""Stage `entities` (C_e of the paper): the named, masked things in each image.

One line of a shard is an image: {"image_id", "size_hw", "entities": [{"phrase", "score", "box_xyxy",
"mask"}]}, or {"image_id", "error"}. mask: COCO's compressed run-length counts for size_hw. Every entity above
the model's floor is kept, so that a change of the score threshold redoes the pairs alone. An entity of a
further look at the image (see looks.py) has a "look", too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np

from lass3d_core.datasets import Block
from lass3d_core.errors import CorruptArtifact, DataError
from lass3d_core.files.fingerprint import Record
from lass3d_core.manifest.schema import Manifest
from lass3d_core.pool import OnProgress
from lass3d_core.records import Entity, ImageFile, Look, RunLengthMask
from preprocess.lvm import EntityDetector, identity_of, load_detector, run_params
from preprocess.project import Project
from preprocess.stages import image_captions
from preprocess.stages.image_batches import answers, images_at_once
from preprocess.stages.jsonl_shards import (
    content_digest,
    failures_in,
    read_digest,
    read_jsonl,
    read_record,
    write_jsonl,
)
from preprocess.stages.looks import from_part, parts_of, shown
from preprocess.stages.phrases import normalise, normalise_all
from preprocess.stages.stage import Failure, Job, MakeShard, Stage

NAME: Final = "entities"
SCHEMA = 1

Found = tuple[tuple[int, int], list[Entity]]
"""An image's size_hw and its entities."""


def needs(manifest: Manifest) -> tuple[str, ...]:
    """The captions, if the detector is asked for their phrases."""
    return () if manifest.entities.vocabulary == "fixed" else (image_captions.NAME,)


def fingerprint_record(project: Project, block: Block) -> Record:
    """What a shard is made from: detector, vocabulary, looks, images, and the phrases of the captions.

    An extension that is off is left out.
    """
    spec = project.manifest.entities
    params = {"detector": spec.name, "detector params": identity_of(NAME, spec)}
    params |= {"vocabulary": spec.vocabulary, "fixed": list(spec.fixed)}
    if spec.looks:
        params["looks"] = list(spec.looks)
    upstream = {}
    if needs(project.manifest):
        captions = image_captions.STAGE.path_of(project, block)
        upstream[f"{image_captions.NAME} {block.name}"] = read_digest(captions, "vocabulary")
    inputs = project.image_identities(one.image for one in project.images_of(block))
    return Record(stage=NAME, schema=SCHEMA, params=params, inputs=inputs, upstream=upstream)


def load(project: Project) -> MakeShard:
    """Return the function that makes one shard. It loads the detector at the first shard with images."""
    spec = project.manifest.entities
    detector = cache(partial(load_detector, spec))

    def make_shard(job: Job, on_progress: OnProgress) -> list[Failure]:
        assert job.block is not None
        words = vocabularies(project, job.block)

        def ask(images: list[np.ndarray], views: list[ImageFile]) -> list[Found]:
            return detected(detector(), images, [words[view.image_id] for view in views], spec.looks)

        views = project.images_of(job.block)
        if views:
            detector()  # not inside `ask`, where an error of loading would count as one of an image
        given = answers(views, ask, on_progress, images_at_once(run_params(NAME, project.manifest)))
        images = [_as_json(view, answer) for view, answer in zip(views, given)]
        write_jsonl(job.path, job.record, images, digests(images))
        return failures_in(images)

    return make_shard


def detected(
    detector: EntityDetector,
    images: Sequence[np.ndarray],
    words: Sequence[Sequence[str]],
    looks: Sequence[Look] = (),
) -> list[Found]:
    """The entities of each image: first those of the whole image, then those of the further `looks`.

    Images without a word to ask for are not shown to the detector. It gets as many images or tiles at once as
    `images` has, one look after the other, so that further looks take no more memory than one more batch.
    Decision: an image fails if one of its looks fails. Otherwise its vote would silently have fewer voices.
    """
    entities: list[list[Entity]] = [[] for _ in images]
    at_once = max(1, len(images))
    for look in ("whole", *looks):
        parts = [
            (i, part)
            for i, image in enumerate(images)
            if words[i]
            for part in parts_of(image.shape[:2], look)
        ]
        for start in range(0, len(parts), at_once):
            asked = parts[start : start + at_once]
            found = detector.detect(
                [shown(images[i], part) for i, part in asked], [words[i] for i, _ in asked]
            )
            if len(found) != len(asked):
                raise DataError(f"the detector gave {len(found)} answers for {len(asked)} images")
            for (i, part), of_part in zip(asked, found):
                entities[i] += from_part(of_part, part)
    return [(image.shape[:2], of_image) for image, of_image in zip(images, entities)]


def vocabularies(project: Project, block: Block) -> Mapping[str, tuple[str, ...]]:
    """Map each image_id to the phrases that the detector is asked for, the caption's first."""
    spec = project.manifest.entities
    grounded: dict[str, list[str]] = {}
    if needs(project.manifest):
        _, images, _ = read_jsonl(image_captions.STAGE.path_of(project, block))
        grounded = {image["image_id"]: image_captions.phrases_of(image) for image in images}
    views = project.images_of(block)
    return {view.image_id: normalise_all([*grounded.get(view.image_id, ()), *spec.fixed]) for view in views}


def digests(images: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Digest each part of a shard that a later stage reads.

    content: everything, for `pairs`. phrases: the distinct phrases, for `text_embeddings`.
    """
    phrases = {entity["phrase"] for image in images for entity in image.get("entities", ())}
    return {"content": content_digest(list(images)), "phrases": content_digest(sorted(phrases))}


def entities_in(path: Path) -> dict[str, list[Entity]]:
    """Read image_id -> entities from a shard; none if it failed. Raises MissingArtifact, CorruptArtifact."""
    _, images, _ = read_jsonl(path)
    try:
        return {image["image_id"]: _from_json(image) for image in images}
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise CorruptArtifact(
            f"{path}: an entity lacks its parts ({error}); delete the file and run `make captions`"
        ) from None


def _as_json(view: ImageFile, answer: Found | str) -> dict[str, Any]:
    if isinstance(answer, str):
        return {"image_id": view.image_id, "error": answer}
    size_hw, entities = answer
    wrong = next((entity for entity in entities if tuple(entity.mask.size_hw) != tuple(size_hw)), None)
    if wrong is not None:
        error = f"the mask of {wrong.phrase!r} is {wrong.mask.size_hw}, the image {size_hw}"
        return {"image_id": view.image_id, "error": error}
    named = [
        {
            "phrase": phrase,
            "score": round(float(entity.score), 4),
            "box_xyxy": [round(float(side), 2) for side in entity.box_xyxy],
            "mask": entity.mask.counts,
        }
        | ({} if entity.look == "whole" else {"look": entity.look})
        for entity in entities
        if (phrase := normalise(entity.phrase)) is not None
    ]
    return {"image_id": view.image_id, "size_hw": list(size_hw), "entities": named}


def _from_json(image: dict[str, Any]) -> list[Entity]:
    entities = []
    for one in image.get("entities", ()):
        mask = RunLengthMask(tuple(image["size_hw"]), one["mask"])
        if (look := one.get("look", "whole")) not in get_args(Look):
            raise ValueError(f"there is no look {look!r}")
        entities.append(Entity(one["phrase"], one["score"], tuple(one["box_xyxy"]), mask, look))
    return entities


STAGE = Stage(NAME, "images", "captions", ".jsonl", needs, fingerprint_record, read_record, load)
