"""Pictures that show whether points lie on their things, and what the things are called."""

from __future__ import annotations

import colorsys
import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from lass3d_core.files.masks import decode
from lass3d_core.geometry.projection import pixels_in_image, project
from lass3d_core.geometry.visible_pixels import VisiblePixels
from lass3d_core.labels import IGNORE, LabelSpace
from lass3d_core.records import NONE, Camera, Entity, ImageCaption
from preprocess.audit.calibration import edge_strength
from preprocess.audit.outlines import Outline

PICTURE_WIDTH = 1280
_TEXT_WIDTH = 320
_NAMED = 14
_NAME_SIZE = 14
GREY = (128, 128, 128)
GREEN, RED = (60, 255, 60), (255, 60, 60)
NEAR, FAR = (255, 230, 0), (0, 60, 255)
_ON_EDGE = 0.5


def point_panel(image: np.ndarray, seen: VisiblePixels, colours: np.ndarray) -> Image.Image:
    """An image (H,W,3) uint8 under its points in colours (n,3) uint8, the nearest on top."""
    panel, factor = _enlarged(image)
    _draw_points(panel, seen, colours, factor)
    return panel


def entity_panel(image: np.ndarray, found: Sequence[Entity], owner: np.ndarray) -> Image.Image:
    """An image (H,W,3) uint8 with phrases and a tint per entity. owner (H,W): each pixel's slot, or NONE."""
    panel, factor = _enlarged(tinted(image, owner))
    _draw_names(panel, found, factor)
    return panel


def outline_panel(image: np.ndarray, camera: Camera, outline: Outline) -> Image.Image:
    """The edges of an image (H,W,3) uint8 in white, under the scan's outlines: green on an edge, else red.

    If the calibration is right, the outlines follow the white lines. If it is wrong, they run beside them.
    """
    strength = edge_strength(image, camera.K[0, 0])
    panel, factor = _enlarged(np.repeat((255 * strength).astype(np.uint8)[..., None], 3, axis=2))
    inside, v, u = pixels_in_image(*project(camera, outline.points), camera.size_hw)
    on_edge = ndimage.maximum_filter(strength, size=3)[v, u, None] > _ON_EDGE
    places = VisiblePixels(inside, v, u, np.zeros(len(inside), np.float32))
    _draw_points(panel, places, np.where(on_edge, GREEN, RED).astype(np.uint8), factor)
    return panel


def stacked(*panels: Image.Image) -> Image.Image:
    """The panels, one above the other."""
    whole = Image.new("RGB", (max(one.width for one in panels), sum(one.height for one in panels)))
    top = 0
    for panel in panels:
        whole.paste(panel, (0, top))
        top += panel.height
    return whole


def caption_panels(
    image: np.ndarray, caption: ImageCaption, found: Sequence[Entity], owner: np.ndarray
) -> Image.Image:
    """Three panels: an image (H,W,3) uint8 with grounded phrases, then with entities; the caption's text.

    owner (H,W): the entity slot of each pixel, NONE for none.
    """
    boxes, factor = _enlarged(image)
    _draw_boxes(boxes, caption, factor)
    words = _written(caption.text or "(no caption)", max(boxes.width, _TEXT_WIDTH))
    return stacked(boxes, entity_panel(image, found, owner), words)


def point_colours(labels: np.ndarray | None, seen: VisiblePixels, space: LabelSpace) -> np.ndarray:
    """The colours (n,3) uint8 of the points of a scan that are seen.

    labels (N,) uint8: the colour is by class, grey if ignored. None: the colour is by depth.
    """
    if labels is None:
        nearness = np.clip(1 - seen.depth / max(float(seen.depth.max(initial=1)), 1), 0, 1)[:, None]
        return (nearness * NEAR + (1 - nearness) * FAR).astype(np.uint8)
    table = np.full((IGNORE + 1, 3), GREY, np.uint8)
    table[: len(space.colours)] = space.colours
    return table[labels[seen.point]]


def tinted(image: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """`image` (H,W,3) uint8 with a different tint for the pixels of each slot of `owner` (H,W)."""
    tints = np.array([_tint(slot) for slot in range(owner.max(initial=NONE) + 1)], np.float32).reshape(-1, 3)
    coloured = image.astype(np.float32)
    masked = owner != NONE
    coloured[masked] = 0.5 * coloured[masked] + 0.5 * tints[owner[masked]]
    return coloured.astype(np.uint8)


def _draw_points(panel: Image.Image, seen: VisiblePixels, colours: np.ndarray, factor: int) -> None:
    draw, half = ImageDraw.Draw(panel), max(1, factor // 2, panel.width // 640)
    for i in np.argsort(-seen.depth):  # the nearest last
        x, y = int((seen.u[i] + 0.5) * factor), int((seen.v[i] + 0.5) * factor)
        draw.rectangle((x - half, y - half, x + half, y + half), fill=tuple(map(int, colours[i])))


def _draw_names(panel: Image.Image, found: Sequence[Entity], factor: int) -> None:
    """Write the phrases of the largest entities into the middles of their boxes."""
    draw, font = ImageDraw.Draw(panel), ImageFont.load_default(size=_NAME_SIZE)
    for entity in sorted(found, key=lambda one: -np.count_nonzero(decode(one.mask)))[:_NAMED]:
        left, top, right, bottom = (side * factor for side in entity.box_xyxy)
        middle = ((left + right) / 2, (top + bottom) / 2)
        draw.text(middle, entity.phrase, "white", font, anchor="mm", stroke_width=2, stroke_fill="black")


def _draw_boxes(panel: Image.Image, caption: ImageCaption, factor: int) -> None:
    draw, font = ImageDraw.Draw(panel), ImageFont.load_default(size=_NAME_SIZE)
    for slot, grounded in enumerate(caption.phrases):
        left, top, right, bottom = (side * factor for side in grounded.box_xyxy)
        draw.rectangle((left, top, right - 1, bottom - 1), outline=_tint(slot), width=2)
        corner = left + 4, top + 2
        draw.text(corner, grounded.phrase, _tint(slot), font, stroke_width=2, stroke_fill="black")


def _written(text: str, width: int) -> Image.Image:
    """`text` in white on black, in lines that fit `width` pixels."""
    font = ImageFont.load_default(size=_NAME_SIZE)
    lines = textwrap.wrap(text, int(0.95 * (width - 16) * len(text) / font.getlength(text)))
    strip = Image.new("RGB", (width, 20 * len(lines) + 16))
    ImageDraw.Draw(strip).multiline_text((8, 8), "\n".join(lines), "white", font, spacing=6)
    return strip


def _enlarged(image: np.ndarray) -> tuple[Image.Image, int]:
    """Repeat every pixel in both directions so that single points can be seen. Also returns how often."""
    factor = max(1, PICTURE_WIDTH // max(image.shape[:2]))
    return Image.fromarray(image.repeat(factor, axis=0).repeat(factor, axis=1)), factor


def _tint(slot: int) -> tuple[int, int, int]:
    # Steps of the golden angle around the colour wheel keep neighbouring slots well apart.
    red, green, blue = colorsys.hsv_to_rgb(slot * 0.381966 % 1, 0.8, 1)
    return int(red * 255), int(green * 255), int(blue * 255)
