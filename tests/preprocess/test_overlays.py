from __future__ import annotations

import numpy as np

from lass3d_core.datasets.semantickitti import LABEL_SPACE
from lass3d_core.geometry import VisiblePixels
from lass3d_core.labels import IGNORE
from lass3d_core.masks import encode
from lass3d_core.records import NONE, Entity, Scan
from preprocess.overlays import point_colours, tinted, two_panels

ROAD = LABEL_SPACE.names.index("road")


def scan_of(labels: np.ndarray | None) -> Scan:
    return Scan("00/000000", np.ones((3, 3), np.float32), np.ones((3, 1), np.float32), labels, ())


def seen_at(v: list[int], u: list[int], depth: list[float]) -> VisiblePixels:
    return VisiblePixels(
        np.arange(len(v)), np.array(v, np.int32), np.array(u, np.int32), np.array(depth, np.float32)
    )


def test_a_point_has_the_colour_of_its_class_and_grey_where_it_is_ignored() -> None:
    scan = scan_of(np.array([ROAD, IGNORE, ROAD], np.uint8))
    colours = point_colours(scan, seen_at([0, 1, 2], [0, 1, 2], [1, 2, 3]), LABEL_SPACE)
    assert tuple(colours[0]) == LABEL_SPACE.colours[ROAD]
    assert tuple(colours[1]) == (128, 128, 128)


def test_without_labels_near_points_are_warmer_than_far_ones() -> None:
    colours = point_colours(scan_of(None), seen_at([0, 1], [0, 1], [1, 20]), LABEL_SPACE)
    assert colours[0, 0] > colours[1, 0] and colours[0, 2] < colours[1, 2]


def test_a_pixel_without_entity_keeps_its_colour() -> None:
    image = np.full((2, 2, 3), 40, np.uint8)
    picture = tinted(image, np.array([[NONE, 0], [1, NONE]]))
    assert (picture[0, 0] == 40).all() and (picture[1, 1] == 40).all()
    assert (picture[0, 1] != picture[1, 0]).any()


def test_the_nearer_of_two_points_on_one_pixel_is_seen() -> None:
    image, labels = np.zeros((40, 40, 3), np.uint8), np.array([ROAD, 0, ROAD], np.uint8)
    mask = np.zeros((40, 40), bool)
    entity = Entity("road", 0.9, (0.0, 0.0, 1.0, 1.0), encode(mask))
    seen = seen_at([20, 20], [20, 20], [9, 3])
    owner = np.full((40, 40), NONE)
    picture = two_panels(image, scan_of(labels), seen, LABEL_SPACE, [entity], owner)
    factor = picture.width // 40
    middle = (int(20.5 * factor), int(20.5 * factor))
    assert picture.size == (40 * factor, 80 * factor)
    assert picture.getpixel(middle) == LABEL_SPACE.colours[0]
