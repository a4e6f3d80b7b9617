"""Colours of points: of classes and errors; of phrases and images, any number of them, none grey.

Letters: N points.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence, Set

import numpy as np

from lass3d_core.labels import IGNORE

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

GREY: Colour = (128, 128, 128)  # points without a class, an entity or an image
RIGHT: Colour = (150, 170, 190)
WRONG: Colour = (225, 35, 25)

_SURELY_DIFFERENT = 24


def class_colours(colours: Sequence[Colour]) -> np.ndarray:
    """The colour of every train id, (256,3) uint8; grey for those that are no class."""
    table = np.full((256, 3), GREY, np.uint8)
    table[: len(colours)] = colours
    return table


def error_colours(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """(N,3) uint8: red where the train ids (N,) differ, grey where there is no truth."""
    colours = np.where((truth == prediction)[:, None], RIGHT, WRONG).astype(np.uint8)
    colours[truth == IGNORE] = GREY
    return colours


def distinct_colours(count: int) -> list[Colour]:
    """`count` colours, blue first. Hues are a golden angle apart, so that neighbours in the list differ."""
    shades = ((0.85, 0.95), (0.6, 0.75), (1.0, 0.7), (0.45, 1.0))
    return [
        _rgb((0.6 + 0.6180339887498949 * index) % 1, *shades[index // 8 % len(shades)])
        for index in range(count)
    ]


def phrase_colours(together: Sequence[Set[str]]) -> dict[str, Colour]:
    """Give every phrase one colour; the phrases of one set differ, up to 24 of them.

    together: the phrases that are seen at the same time, such as those of one image.
    """
    palette = distinct_colours(_SURELY_DIFFERENT)
    colours: dict[str, Colour] = {}
    for phrase in sorted(set().union(*together)):
        near = [phrases for phrases in together if phrase in phrases]
        taken = {colours[other] for phrases in near for other in phrases & colours.keys()}
        free = [colour for colour in palette if colour not in taken]
        colours[phrase] = free[0] if free else palette[len(colours) % len(palette)]
    return colours


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)
