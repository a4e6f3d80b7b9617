"""Colours for phrases and images: any number of them, none grey."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence, Set

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

_SURELY_DIFFERENT = 24


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
