"""Sample images with what the language-vision models said: the caption, and the entities' masks."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from lass3d_core.errors import DataError
from lass3d_core.files.images import read_image
from lass3d_core.files.masks import decode
from lass3d_core.records import Entity, FilePart, ImageCaption
from train.report.markup import Markup, element, join

_WIDEST = 960
_SMALL = 480
_FILL_ALPHA, _BORDER_ALPHA = 120, 255
_HUES = (
    *("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee8866", "#44bb99", "#7a5cc0"),
    *("#ffaabb", "#a8bb2a", "#b0703c", "#1f9ed1", "#c6396b", "#7fcf6a", "#d9b382", "#5560c9", "#e0e05a"),
)


@dataclass(frozen=True)
class PicturedImage:
    """An image with what was said of it. file: the picture's, or None where nobody recorded one."""

    image_id: str
    file: FilePart | None
    caption: ImageCaption | None
    entities: tuple[Entity, ...]


def image_gallery(images: Sequence[PicturedImage]) -> Markup:
    """The images with captions, entity overlays and phrases. A phrase keeps its colour throughout."""
    colours = phrase_colours([{entity.phrase for entity in image.entities} for image in images])
    return element("div", *[_figure(image, colours) for image in images], class_="gallery")


def phrase_colours(together: Sequence[Set[str]]) -> dict[str, str]:
    """A colour for every phrase; those that stand together differ while there are colours left."""
    colours: dict[str, str] = {}
    for phrase in sorted(set().union(*together)):
        near = {
            colours[other] for phrases in together if phrase in phrases for other in phrases & colours.keys()
        }
        free = [hue for hue in _HUES if hue not in near]
        colours[phrase] = free[0] if free else _HUES[len(colours) % len(_HUES)]
    return colours


def _figure(image: PicturedImage, colours: dict[str, str]) -> Markup:
    said = image.caption.text if image.caption else "no caption"
    picture = _photograph(image.file, alt=f"Image {image.image_id}. Caption: {said}")
    overlay = None
    if image.entities:
        names = ", ".join(sorted({entity.phrase for entity in image.entities}))
        overlay = element(
            "img", src=_overlay(image.entities, colours), alt=f"Masks of: {names}", class_="overlay"
        )
    toggle = element("label", element("input", type="checkbox", checked=True), "entities", class_="toggle")
    return element(
        "figure",
        element("div", picture, overlay, class_="stack"),
        element(
            "figcaption",
            element("div", element("code", image.image_id), toggle if overlay else None, class_="line"),
            _caption(image.caption),
            _phrases(image.entities, colours),
        ),
    )


def _photograph(file: FilePart | None, alt: str) -> Markup:
    if file is None:
        return element("p", "The picture's file is not recorded.", class_="absent")
    try:
        photo = Image.fromarray(read_image(file))
    except DataError as error:
        return element("p", f"No picture: {error}.", class_="absent")
    small = photo.width <= _SMALL
    photo.thumbnail((_WIDEST, _WIDEST))
    form = {"format": "PNG", "optimize": True} if small else {"format": "JPEG", "quality": 84}
    return element("img", src=_data_uri(photo, **form), alt=alt, class_="pixels" if small else None)


def _overlay(entities: Sequence[Entity], colours: dict[str, str]) -> str:
    """A transparent palette PNG. Large entities lie under small ones, as the smallest owns a pixel's text."""
    phrases = sorted({entity.phrase for entity in entities})[:127]
    height, width = entities[0].mask.size_hw
    drawn = np.zeros((height, width), np.uint8)
    masks = [(decode(entity.mask), entity.phrase) for entity in entities if entity.phrase in phrases]
    for mask, phrase in sorted(masks, key=lambda pair: -int(pair[0].sum())):
        slot = 1 + 2 * phrases.index(phrase)
        drawn[mask] = slot
        drawn[_border(mask)] = slot + 1
    rgb = [tuple(bytes.fromhex(colours[phrase][1:])) for phrase in phrases]
    palette = Image.fromarray(drawn)
    palette.putpalette([0, 0, 0, *[channel for colour in rgb for channel in colour * 2]])
    alpha = bytes([0, *[_FILL_ALPHA, _BORDER_ALPHA] * len(phrases)])
    return _data_uri(palette, format="PNG", optimize=True, transparency=alpha)


def _border(mask: np.ndarray) -> np.ndarray:
    """The pixels of `mask` (H,W) that touch a pixel outside it; the image's edge is no border."""
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def _caption(caption: ImageCaption | None) -> Markup:
    if caption is None:
        return element("p", "No caption for this image.", class_="absent")
    return element(
        "p", _marked(caption.text, [grounded.phrase for grounded in caption.phrases]), class_="said"
    )


def _marked(text: str, phrases: Sequence[str]) -> Markup:
    """`text` with the grounded phrases that stand in it marked, the longest match first."""
    wanted = sorted({phrase for phrase in phrases if phrase}, key=len, reverse=True)
    if not wanted:
        return join(text)
    pieces = re.split(rf"\b({'|'.join(map(re.escape, wanted))})\b", text, flags=re.IGNORECASE)
    return join(*[element("mark", piece) if index % 2 else piece for index, piece in enumerate(pieces)])


def _phrases(entities: Sequence[Entity], colours: dict[str, str]) -> Markup:
    if not entities:
        return element("p", "No entities found.", class_="absent")
    best: dict[str, list[float]] = {}
    for entity in entities:
        best.setdefault(entity.phrase, []).append(entity.score)
    items = [
        element(
            "li",
            element("span", class_="swatch", style=f"background:{colours[phrase]}"),
            phrase,
            element(
                "span", f"{f' ×{len(scores)}' if len(scores) > 1 else ''} {max(scores):.2f}", class_="quiet"
            ),
        )
        for phrase, scores in sorted(best.items(), key=lambda item: -max(item[1]))
    ]
    return element("ul", *items, class_="legend")


def _data_uri(image: Image.Image, **options: object) -> str:
    buffer = BytesIO()
    image.save(buffer, **options)
    kind = str(options["format"]).lower()
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
