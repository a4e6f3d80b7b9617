"""Captions of wide images from near-square tiles, for captioners that resize every image to a square.

KOSMOS-2 and Florence-2 do. A KITTI frame (1241 x 376) would lose two thirds of its resolution in width. As
three overlapping tiles it keeps its shapes, and its captions name more things.
Decision: the paper does not mention tiles.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import numpy as np

from lass3d_core.records import GroundedPhrase, ImageCaption
from preprocess.lvm.params import TileParams

Tile = tuple[int, int, int, int]
"""A rectangle (x1, y1, x2, y2) of whole pixels; x2 and y2 are outside."""

_ROUNDING = 1e-9
_END_OF_SENTENCE = re.compile(r"[.!?](?=\s|$)")


def captioned(
    images: Sequence[np.ndarray],
    params: TileParams,
    caption: Callable[[list[np.ndarray]], list[ImageCaption]],
) -> list[ImageCaption]:
    """A caption per image (H,W,3), with boxes in its pixels. caption: captions a list of tiles."""
    tiles = [tiles_of(image.shape[:2], params) for image in images]
    crops = [image[y1:y2, x1:x2] for image, cut in zip(images, tiles) for x1, y1, x2, y2 in cut]
    answers = iter(caption(crops))
    return [merge_captions([from_tile(next(answers), tile) for tile in cut]) for cut in tiles]


def tiles_of(size_hw: tuple[int, int], params: TileParams) -> tuple[Tile, ...]:
    """Cover an image with the fewest equal tiles that overlap and have at most `max_aspect`, to a pixel.

    They stand along the longer side, from the left or from the top. A short image is one tile.
    """
    height, width = size_hw
    long, short = max(size_hw), min(size_hw)
    fitting = (long / (short * params.max_aspect) - params.overlap) / (1 - params.overlap)
    count = max(1, math.ceil(fitting - _ROUNDING))
    side = math.ceil(long / (count - (count - 1) * params.overlap) - _ROUNDING)
    starts = [round(index * (long - side) / max(1, count - 1)) for index in range(count)]
    if width >= height:
        return tuple((start, 0, start + side, height) for start in starts)
    return tuple((0, start, width, start + side) for start in starts)


def from_tile(caption: ImageCaption, tile: Tile) -> ImageCaption:
    """The caption of a tile, with boxes in pixels of the whole image."""
    left, top = tile[:2]
    phrases = tuple(
        GroundedPhrase(item.phrase, (x1 + left, y1 + top, x2 + left, y2 + top))
        for item in caption.phrases
        for x1, y1, x2, y2 in [item.box_xyxy]
    )
    return ImageCaption(caption.text, phrases, caption.raw)


def merge_captions(captions: Sequence[ImageCaption]) -> ImageCaption:
    """Join captions: their distinct sentences, all phrases, all raw outputs.

    Decision: a thing in the overlap of two tiles stays twice. Entities are found by the phrase and not by its
    box, so this does no harm.
    """
    if len(captions) == 1:
        return captions[0]
    texts = dict.fromkeys(ended(caption.text) for caption in captions if caption.text.strip())
    return ImageCaption(
        text=" ".join(texts),
        phrases=tuple(phrase for caption in captions for phrase in caption.phrases),
        raw="\n".join(caption.raw for caption in captions),
    )


def sorted_box(x1: float, y1: float, x2: float, y2: float) -> tuple[float, float, float, float]:
    """The box with sorted corners, because a model may write the lower one first."""
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def ended(text: str) -> str:
    """`text` with a full stop, so that another sentence can follow."""
    text = text.strip()
    return text if _END_OF_SENTENCE.search(text[-1:]) else f"{text}."


def without_tail(text: str) -> str:
    """Shorten a text that was cut anywhere to its last whole sentence, or else to its last whole word."""
    ends = [match.end() for match in _END_OF_SENTENCE.finditer(text)]
    return text[: ends[-1]] if ends else text.rpartition(" ")[0].rstrip() or text
