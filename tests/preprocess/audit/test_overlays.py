from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lass3d_core.datasets.semantickitti.reader import LABEL_SPACE
from lass3d_core.files.masks import encode
from lass3d_core.geometry.visible_pixels import VisiblePixels
from lass3d_core.labels import IGNORE
from lass3d_core.records import NONE, Camera, Entity, ImageCaption
from preprocess.audit.outlines import Outline
from preprocess.audit.overlays import (
    PICTURE_WIDTH,
    caption_panels,
    entity_panel,
    outline_panel,
    point_colours,
    point_panel,
    stacked,
    tinted,
)

ROAD = LABEL_SPACE.names.index("road")


def seen_at(v: list[int], u: list[int], depth: list[float]) -> VisiblePixels:
    return VisiblePixels(
        np.arange(len(v)), np.array(v, np.int32), np.array(u, np.int32), np.array(depth, np.float32)
    )


def test_a_point_has_the_colour_of_its_class_and_grey_where_it_is_ignored() -> None:
    labels = np.array([ROAD, IGNORE, ROAD], np.uint8)
    colours = point_colours(labels, seen_at([0, 1, 2], [0, 1, 2], [1, 2, 3]), LABEL_SPACE)
    assert tuple(colours[0]) == LABEL_SPACE.colours[ROAD]
    assert tuple(colours[1]) == (128, 128, 128)


def test_without_labels_near_points_are_warmer_than_far_ones() -> None:
    colours = point_colours(None, seen_at([0, 1], [0, 1], [1, 20]), LABEL_SPACE)
    assert colours[0, 0] > colours[1, 0] and colours[0, 2] < colours[1, 2]


def test_a_pixel_without_entity_keeps_its_colour() -> None:
    image = np.full((2, 2, 3), 40, np.uint8)
    picture = tinted(image, np.array([[NONE, 0], [1, NONE]]))
    assert (picture[0, 0] == 40).all() and (picture[1, 1] == 40).all()
    assert (picture[0, 1] != picture[1, 0]).any()


def test_the_nearer_of_two_points_on_one_pixel_is_seen() -> None:
    colours = np.array([[0, 0, 255], [255, 0, 0]], np.uint8)
    for order in ([0, 1], [1, 0]):
        seen = seen_at([20, 20], [20, 20], [[3, 9][i] for i in order])
        panel = point_panel(np.zeros((40, 40, 3), np.uint8), seen, colours[order])
        factor = panel.width // 40
        assert panel.size == (40 * factor, 40 * factor)
        assert panel.getpixel((int(20.5 * factor), int(20.5 * factor))) == (0, 0, 255)


def test_an_entity_is_named_on_its_tint() -> None:
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    entity = Entity("road", 0.9, (10.0, 10.0, 30.0, 30.0), encode(mask))
    panel = np.asarray(entity_panel(np.zeros((40, 40, 3), np.uint8), [entity], np.where(mask, 0, NONE)))
    factor = len(panel) // 40
    assert panel[5 * factor].max() == 0 and panel[12 * factor, 12 * factor].max() > 0
    assert (panel[20 * factor] == 255).all(axis=-1).any()  # the white letters


def test_outlines_are_green_on_an_edge_and_red_beside_it() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 20:] = 200
    camera = Camera(np.array([[40.0, 0, 20], [0, 40.0, 20], [0, 0, 1]]), np.eye(4), (40, 40))
    outline = Outline(np.array([[0, 0, 5], [1.25, 0, 5]], np.float32), np.ones(2, np.float32))
    panel = outline_panel(image, camera, outline)
    factor = panel.width // 40
    colour = [panel.getpixel((int((u + 0.5) * factor), int(20.5 * factor))) for u in (20, 30)]
    assert colour[0][1] > colour[0][0] and colour[1][0] > colour[1][1]


def test_panels_stand_above_each_other() -> None:
    one, other = Image.new("RGB", (4, 2), "red"), Image.new("RGB", (3, 5), "blue")
    picture = stacked(one, other)
    assert picture.size == (4, 7)
    assert picture.getpixel((0, 1)) == (255, 0, 0) and picture.getpixel((0, 2)) == (0, 0, 255)


@pytest.mark.parametrize("size_hw", [(2000, 3), (3, 2000), (700, 1), (1, 1)])
def test_no_side_of_a_thin_image_is_enlarged_beyond_a_picture(size_hw: tuple[int, int]) -> None:
    image, caption = np.zeros((*size_hw, 3), np.uint8), ImageCaption("A long street with a car.", (), raw="")
    picture = caption_panels(image, caption, [], np.full(size_hw, NONE))
    assert max(picture.size) <= 2 * max(PICTURE_WIDTH, *size_hw) + PICTURE_WIDTH
