"""Strips below the panels of a picture that say what is seen and what the colours mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lass3d_core.geometry.visible_pixels import VisiblePixels
from lass3d_core.labels import IGNORE, LabelSpace
from preprocess.audit.overlays import FAR, GREEN, GREY, NEAR, RED

_SIZE, _LINE, _EDGE, _GAP = 14, 22, 8, 18  # pixels: of letters, of a line, to the border, between entries
_SWATCH = 12

Entry = tuple[tuple[int, int, int] | None, str]
"""A colour and its meaning; None for a text without a colour."""

ENTITIES: tuple[Entry, ...] = ((None, "Entities: a tint for each phrase, and the names of the largest ones"),)
NO_ENTITIES: tuple[Entry, ...] = ((None, "Entities: none in this image"),)
OUTLINES: tuple[Entry, ...] = (
    (None, "Calibration: the image's edges, and where things of the scan end"),
    ((255, 255, 255), "edge of the image"),
    (GREEN, "end of a thing, on an edge"),
    (RED, "end of a thing, beside the edges"),
)


def of_points(labels: np.ndarray | None, seen: VisiblePixels, space: LabelSpace) -> tuple[Entry, ...]:
    """The legend of the points seen: the classes among them, the most frequent first, or their distances.

    labels (N,) uint8, of all points of the scan; None if they are not read.
    """
    if labels is None:
        farthest = float(seen.depth.max(initial=1))
        return (None, "Points by distance"), (NEAR, "near"), (FAR, f"far ({farthest:.0f} m)")
    counts = np.bincount(labels[seen.point], minlength=IGNORE + 1)
    classes = [i for i in np.argsort(-counts[:IGNORE], kind="stable").tolist() if counts[i]]
    ignored: tuple[Entry, ...] = ((GREY, "ignored"),) if counts[IGNORE] else ()
    return ((None, "Points by label"), *((space.colours[i], space.names[i]) for i in classes), *ignored)


def legend(entries: Sequence[Entry], width: int) -> Image.Image:
    """The entries on black, in as many lines as they need at `width` pixels."""
    font = ImageFont.load_default(size=_SIZE)
    placed: list[tuple[int, int, Entry]] = []
    x, line = _EDGE, 0
    for entry in entries:
        colour, text = entry
        needed = round(font.getlength(text)) + (0 if colour is None else _SWATCH + 6)
        if x > _EDGE and x + needed > width - _EDGE:
            x, line = _EDGE, line + 1
        placed.append((x, line, entry))
        x += needed + _GAP
    strip = Image.new("RGB", (width, _LINE * (line + 1) + 4))
    draw = ImageDraw.Draw(strip)
    for left, row, (colour, text) in placed:
        middle = 2 + _LINE * row + _LINE // 2
        if colour is not None:
            box = left, middle - _SWATCH // 2, left + _SWATCH, middle + _SWATCH // 2
            draw.rectangle(box, fill=colour, outline="white")
            left += _SWATCH + 6
        draw.text((left, middle), text, "white", font, anchor="lm")
    return strip
