"""Further looks at an image (`entities.looks`): the detector sees it mirrored, or in overlapping tiles, too.

mirrored: left and right exchanged; another answer to the same picture. tiled: each tile at full resolution. A
detector that scales every image to a fixed size so sees small, far things larger.
Decision: the paper shows each image once. A vote of several looks (`pairs.vote`) needs them.
Decision: a thing that a tile's edge cuts, or that two tiles see, stays as it was found: an entity for each
tile. Entities are painted and never counted, and painting one phrase twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lass3d_core.errors import DataError
from lass3d_core.files.masks import decode, encode
from lass3d_core.records import Entity, Look, RunLengthMask
from preprocess.lvm.params import TileParams
from preprocess.lvm.tiles import Tile, tiles_of

# Decision: no wider than high. A KITTI frame (1242 x 375) has four tiles, a photograph of 16:9 or 4:3 two;
# a square is never cut. On frames of SemanticKITTI a street segmenter named more points rightly in these four
# tiles than in three of 1.25:1, or in the whole image.
TILES = TileParams(max_aspect=1.0)


class Part(NamedTuple):
    """A part of an image of size_hw, as the detector is shown it."""

    look: Look
    tile: Tile
    size_hw: tuple[int, int]


def parts_of(size_hw: tuple[int, int], look: Look) -> tuple[Part, ...]:
    """What a look shows of an image of height and width size_hw.

    An image that is one tile has no part `tiled`: that would be the whole image again.
    """
    height, width = size_hw
    tiles = tiles_of(size_hw, TILES) if look == "tiled" else ((0, 0, width, height),)
    if look == "tiled" and len(tiles) == 1:
        return ()
    return tuple(Part(look, tile, (height, width)) for tile in tiles)


def shown(image: np.ndarray, part: Part) -> np.ndarray:
    """The pixels (h,w,3) of a part of `image` (H,W,3), contiguous."""
    x1, y1, x2, y2 = part.tile
    pixels = image[y1:y2, x1:x2]
    return np.ascontiguousarray(pixels[:, ::-1] if part.look == "mirrored" else pixels)


def from_part(entities: list[Entity], part: Part) -> Iterator[Entity]:
    """The entities that were found in a part, with boxes and masks in pixels of the whole image.

    Yields one at a time: a mask of the image's size lives only until it is encoded.
    Raises DataError if a mask differs in size from the part, or is damaged.
    """
    for entity in entities:
        yield entity if part.look == "whole" else _in_image(entity, part)


def _in_image(entity: Entity, part: Part) -> Entity:
    left, top, right, bottom = part.tile
    size_hw = bottom - top, right - left
    if tuple(entity.mask.size_hw) != size_hw:
        raise DataError(
            f"the mask of {entity.phrase!r} is {entity.mask.size_hw}, the {part.look} image {size_hw}"
        )
    x1, y1, x2, y2 = entity.box_xyxy
    if part.look == "mirrored":
        x1, x2 = (right - left) - x2, (right - left) - x1
    box = x1 + left, y1 + top, x2 + left, y2 + top
    return replace(entity, box_xyxy=box, mask=_mask_in_image(entity.mask, part), look=part.look)


def _mask_in_image(mask: RunLengthMask, part: Part) -> RunLengthMask:
    # Decision: by way of the pixels, 0.3 ms for a KITTI frame. That is little beside finding the mask.
    pixels = decode(mask)
    if part.look == "mirrored":
        return encode(pixels[:, ::-1])
    left, top, right, bottom = part.tile
    whole = np.zeros(part.size_hw, bool, order="F")
    whole[top:bottom, left:right] = pixels
    return encode(whole)
