"""`make preview` and `make captions LIMIT=n`: what the models of the manifest say of a few images.

No shard is written: a shard always holds all of its images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from lass3d_core.errors import ManifestError
from lass3d_core.files.atomic import atomic_write
from lass3d_core.files.images import read_image
from lass3d_core.files.masks import decode
from lass3d_core.manifest.schema import EntitiesSpec, LvmStage
from lass3d_core.records import Entity, FilePart, ImageCaption
from preprocess.audit.overlays import caption_panels
from preprocess.lvm import load_captioner, load_detector, load_encoder
from preprocess.project import Project
from preprocess.stages.entities import detected
from preprocess.stages.pairing import confident, painted
from preprocess.stages.phrases import normalise_all
from preprocess.status import plural


@dataclass(frozen=True)
class Preview:
    """What the models say of one image (H,W,3) uint8 RGB."""

    name: str
    image: np.ndarray
    caption: ImageCaption
    words: tuple[str, ...] | None = None  # the detector's vocabulary; None if it was not asked
    found: Sequence[Entity] = ()


def preview(project: Project, path: Path) -> str:
    """Describe the image at `path`: caption, phrases and entities. Returns a text and writes a picture.

    Raises DataError for an unreadable image, and the errors of the models.
    """
    (seen,) = _detected(project, _captioned(project, [path.name], [read_image(FilePart(path))]))
    picture = project.folder / "preview" / f"{path.stem}.png"
    kept = confident(seen.found, project.manifest.pairs.min_score)
    slot_of = {phrase: slot for slot, phrase in enumerate(sorted({one.phrase for one in kept}))}
    owner = painted(kept, slot_of, seen.image.shape[:2], project.manifest.pairs.overlap)
    with atomic_write(picture) as part:
        caption_panels(seen.image, seen.caption, kept, owner).save(part, format="PNG")
    return f"{_in_words(seen, project.manifest.pairs.min_score)}\npicture written to {picture}"


def first_images(project: Project, count: int, only: LvmStage | None) -> str:
    """Describe the first `count` images of the data set by every stage.

    only: the last stage to run; the stages that it reads run too.
    Raises ManifestError for a count below 1, DataError for an unreadable image, and the errors of the models.
    """
    if count < 1:
        raise ManifestError(f"LIMIT must be at least 1, got {count}")
    images = list(islice((one for block in project.blocks for one in project.images_of(block)), count))
    seen = _captioned(project, [one.image_id for one in images], [read_image(one.image) for one in images])
    if only != "image_captions":
        seen = _detected(project, seen)
    lines = [_in_words(one, project.manifest.pairs.min_score) for one in seen]
    if only in (None, "text_embeddings"):
        lines.append(_encoded(project, seen))
    return "\n".join([*lines, f"looked at {plural(len(seen), 'image')}; nothing was written"])


def _captioned(project: Project, names: Sequence[str], images: Sequence[np.ndarray]) -> list[Preview]:
    captioner = load_captioner(project.manifest.image_captions)
    return [Preview(*each) for each in zip(names, images, captioner.caption(images))]


def _detected(project: Project, seen: Sequence[Preview]) -> list[Preview]:
    """Add the entities, with the vocabulary that the stage `entities` uses."""
    spec = project.manifest.entities
    words = [_vocabulary(spec, one.caption) for one in seen]
    found = detected(load_detector(spec), [one.image for one in seen], words)
    return [replace(one, words=asked, found=each) for one, asked, (_, each) in zip(seen, words, found)]


def _vocabulary(spec: EntitiesSpec, caption: ImageCaption) -> tuple[str, ...]:
    grounded = () if spec.vocabulary == "fixed" else (one.phrase for one in caption.phrases)
    return normalise_all([*grounded, *spec.fixed])


def _encoded(project: Project, seen: Sequence[Preview]) -> str:
    """Encode captions and phrases; report rows, dimensions and cut texts."""
    encoder = load_encoder(project.manifest.text_embeddings)
    phrases = {entity.phrase for one in seen for entity in one.found}
    texts = sorted({one.caption.text for one in seen} | phrases)
    rows, dim = encoder.encode(texts).rows.shape
    return f"{len(texts)} texts: {rows} rows of {dim} dimensions, {encoder.cut} cut to the encoder's window"


def _in_words(seen: Preview, min_score: float) -> str:
    height, width = seen.image.shape[:2]
    lines = [
        f"{seen.name}, {width} x {height} pixels",
        f"  caption   {seen.caption.text}",
        f"  phrases   {', '.join(normalise_all(one.phrase for one in seen.caption.phrases)) or 'none'}",
    ]
    table = [] if seen.words is None else _table(seen.words, seen.found, min_score)
    return "\n".join([*lines, *table])


def _table(words: Sequence[str], found: Sequence[Entity], min_score: float) -> list[str]:
    """A row per phrase: entities found and kept, the best score, the share of the image that they cover."""
    if not words:
        return ["  entities  none: the detector was asked for nothing"]
    wide = max(len("entities"), *map(len, words))
    rows = [f"  {'entities':{wide}}  found  kept  best  of the image"]
    for word in words:
        named = [entity for entity in found if entity.phrase == word]
        kept = confident(named, min_score)
        best = max((f"{entity.score:.2f}" for entity in named), default="-")
        share = np.any([decode(entity.mask) for entity in kept], axis=0).mean() if kept else 0.0
        rows.append(f"  {word:{wide}}  {len(named):5}  {len(kept):4}  {best:>4}  {share:12.1%}")
    return [*rows, f"  kept: with a score of at least pairs.min_score, {min_score:g}"]
