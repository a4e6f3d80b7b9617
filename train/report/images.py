"""Sample images with what was said of them: the caption, and the entities' masks."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from lass3d_core.errors import DataError
from lass3d_core.files.images import read_image
from lass3d_core.files.masks import decode
from lass3d_core.records import Entity, FilePart, ImageCaption
from train.outputs.colours import Colour, phrase_colours

_WIDEST = 960
_SMALL = 480
_FILL_ALPHA, _BORDER_ALPHA = 120, 255
_MOST_IN_PALETTE = 127


@dataclass(frozen=True)
class PicturedImage:
    """An image with its caption and entities. file: None if nobody recorded where the picture lies."""

    image_id: str
    file: FilePart | None
    caption: ImageCaption | None
    entities: tuple[Entity, ...]


@dataclass(frozen=True)
class ShownPhrase:
    """The entities of one phrase in an image."""

    phrase: str
    colour: str  # CSS
    count: int
    best: float  # the highest score


@dataclass(frozen=True)
class ShownImage:
    """An image as images.html writes it."""

    image_id: str
    photo: str  # data URI; "" if there is none
    problem: str  # why there is no photo
    is_small: bool  # the page must not smooth its pixels
    overlay: str  # data URI; "" without entities
    caption: list[str]  # in pieces; every second piece is a phrase that was grounded in the image
    phrases: list[ShownPhrase]  # the best score first


def image_gallery(images: Sequence[PicturedImage]) -> list[ShownImage]:
    """Draw the images with their entities. A phrase has the same colour in all of them."""
    colours = phrase_colours([{entity.phrase for entity in image.entities} for image in images])
    return [_shown(image, colours) for image in images]


def _shown(image: PicturedImage, colours: Mapping[str, Colour]) -> ShownImage:
    photo, problem, is_small = "", "The picture's file is not recorded.", False
    if image.file is not None:
        try:
            picture = Image.fromarray(read_image(image.file))
        except DataError as error:
            problem = f"No picture: {error}."
        else:
            is_small = picture.width <= _SMALL
            picture.thumbnail((_WIDEST, _WIDEST))
            form = {"format": "PNG", "optimize": True} if is_small else {"format": "JPEG", "quality": 84}
            photo = _data_uri(picture, **form)
    overlay = _overlay(image.entities, colours) if image.entities else ""
    caption = _pieces(image.caption) if image.caption else []
    phrases = _phrases(image.entities, colours)
    return ShownImage(image.image_id, photo, problem, is_small, overlay, caption, phrases)


def _overlay(entities: Sequence[Entity], colours: Mapping[str, Colour]) -> str:
    """A transparent PNG: each phrase's masks in its colour, their borders in a stronger one."""
    phrases = sorted({entity.phrase for entity in entities})[:_MOST_IN_PALETTE]
    height, width = entities[0].mask.size_hw
    drawn = np.zeros((height, width), np.uint8)
    masks = [(decode(entity.mask), entity.phrase) for entity in entities if entity.phrase in phrases]
    # Large entities lie under small ones: the smallest entity owns a pixel's text.
    for mask, phrase in sorted(masks, key=lambda pair: -int(pair[0].sum())):
        slot = 1 + 2 * phrases.index(phrase)
        drawn[mask] = slot
        drawn[_border(mask)] = slot + 1
    palette = Image.fromarray(drawn)
    palette.putpalette([0, 0, 0, *[channel for phrase in phrases for channel in colours[phrase] * 2]])
    alpha = bytes([0, *[_FILL_ALPHA, _BORDER_ALPHA] * len(phrases)])
    return _data_uri(palette, format="PNG", optimize=True, transparency=alpha)


def _border(mask: np.ndarray) -> np.ndarray:
    """The pixels of `mask` (H,W) that touch a pixel outside it; the image's edge is no border."""
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.asarray(mask & ~inner)


def _pieces(caption: ImageCaption) -> list[str]:
    """Cut the text at the grounded phrases that stand in it, which become every second piece."""
    # The longest phrase first, so that "red car" is found before "car".
    wanted = sorted({grounded.phrase for grounded in caption.phrases} - {""}, key=len, reverse=True)
    if not wanted:
        return [caption.text]
    return re.split(rf"\b({'|'.join(map(re.escape, wanted))})\b", caption.text, flags=re.IGNORECASE)


def _phrases(entities: Sequence[Entity], colours: Mapping[str, Colour]) -> list[ShownPhrase]:
    scores: dict[str, list[float]] = {}
    for entity in entities:
        scores.setdefault(entity.phrase, []).append(entity.score)
    css = {phrase: "rgb({} {} {})".format(*colours[phrase]) for phrase in scores}
    shown = [ShownPhrase(phrase, css[phrase], len(found), max(found)) for phrase, found in scores.items()]
    return sorted(shown, key=lambda one: -one.best)


def _data_uri(image: Image.Image, **options: Any) -> str:
    buffer = BytesIO()
    image.save(buffer, **options)
    kind = options["format"].lower()
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
