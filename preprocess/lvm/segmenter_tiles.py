"""The classes of a wide image from tiles, of which the network loses less.

A network that resizes a KITTI frame (1242 x 375) to a square takes its houses for people. Decision: at most
2 : 1, the shape of Cityscapes' images; so photographs of a telephone or a car's camera, 16 : 9, stay whole.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from preprocess.lvm.params import TileParams
from preprocess.lvm.segmenter_output import UNKNOWN, Classified
from preprocess.lvm.tiles import tiles_of


def classified(
    image: np.ndarray, params: TileParams, classify: Callable[[np.ndarray], Classified]
) -> Classified:
    """The classes of an image (H,W,3). classify: gives those of a tile.

    Where two tiles overlap each counts up to the middle: a network knows least of what is at an edge.
    """
    height, width = size_hw = image.shape[:2]
    tiles = tiles_of(size_hw, params)
    classes, probability = np.full(size_hw, UNKNOWN, np.int16), None
    for index, (left, top, right, bottom) in enumerate(tiles):
        seen = classify(image[top:bottom, left:right])
        # A later tile overwrites the earlier one from the middle of what both see.
        if index > 0:
            dx, dy = (tiles[index - 1][2] - left) // 2, (tiles[index - 1][3] - top) // 2
            dx, dy = (dx, 0) if width >= height else (0, dy)
        else:
            dx, dy = 0, 0
        place, part = np.s_[top + dy : bottom, left + dx : right], np.s_[dy:, dx:]
        classes[place] = seen.classes[part]
        if seen.probability is not None:
            probability = np.zeros(size_hw, np.float32) if probability is None else probability
            probability[place] = seen.probability[part]
    return Classified(classes, probability)
