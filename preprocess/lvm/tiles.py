"""Wide images in near-square tiles, for captioners that squash whatever they see into a square.

KOSMOS-2 and Florence-2 resize every image to a square; a KITTI frame (1241 x 376) would lose two thirds of
its width. Cut into three overlapping tiles it keeps its shapes, and a caption names more of its things.
Decision: the paper is silent; it captions images as they are, or does not say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from lass3d_core.records import GroundedPhrase, ImageCaption
from preprocess.lvm.params import TileParams
from preprocess.lvm.sentences import ended

Tile = tuple[int, int, int, int]
"""A rectangle (x1, y1, x2, y2) of whole pixels, its right and lower edges outside."""

_ROUNDING = 1e-9


def captioned(
    images: Sequence[np.ndarray],
    params: TileParams,
    caption: Callable[[list[np.ndarray]], list[ImageCaption]],
) -> list[ImageCaption]:
    """One caption per image (H,W,3), from `caption` on all its tiles; boxes in pixels of the whole image."""
    tiles = [tiles_of(image.shape[:2], params) for image in images]
    crops = [_crop(image, tile) for image, cut in zip(images, tiles) for tile in cut]
    answers = iter(caption(crops))
    return [merge_tiles([moved(next(answers), tile) for tile in cut]) for cut in tiles]


def tiles_of(size_hw: tuple[int, int], params: TileParams) -> tuple[Tile, ...]:
    """The fewest equal tiles along the longer side that overlap and, to a pixel, keep to `max_aspect`.

    They cover the image, in order from its left (or its top); an image that is short enough is one tile.
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


def moved(caption: ImageCaption, tile: Tile) -> ImageCaption:
    """`caption` of a tile with its boxes in pixels of the whole image."""
    left, top = tile[:2]
    phrases = tuple(
        GroundedPhrase(item.phrase, (x1 + left, y1 + top, x2 + left, y2 + top))
        for item in caption.phrases
        for x1, y1, x2, y2 in [item.box_xyxy]
    )
    return ImageCaption(caption.text, phrases, caption.raw)


def merge_tiles(captions: Sequence[ImageCaption]) -> ImageCaption:
    """One caption that says what all of `captions` say: their distinct sentences, phrases, raw outputs.

    Decision: a thing in the overlap of two tiles is grounded twice; entities are found by the phrase, not by
    its box, so this costs nothing.
    """
    if len(captions) == 1:
        return captions[0]
    texts = dict.fromkeys(ended(caption.text) for caption in captions if caption.text.strip())
    return ImageCaption(
        text=" ".join(texts),
        phrases=tuple(phrase for caption in captions for phrase in caption.phrases),
        raw="\n".join(caption.raw for caption in captions),
    )


def _crop(image: np.ndarray, tile: Tile) -> np.ndarray:
    left, top, right, bottom = tile
    return image[top:bottom, left:right]
