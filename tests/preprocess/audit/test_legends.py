from __future__ import annotations

import numpy as np

from lass3d_core.datasets.semantickitti.reader import LABEL_SPACE
from lass3d_core.geometry.visible_pixels import VisiblePixels
from lass3d_core.labels import IGNORE
from preprocess.audit.legends import OUTLINES, legend, of_points

ROAD, CAR = LABEL_SPACE.names.index("road"), LABEL_SPACE.names.index("car")


def seen(*points: int) -> VisiblePixels:
    zeros = np.zeros(len(points), np.int32)
    return VisiblePixels(
        np.array(points, np.int64), zeros, zeros, np.arange(1, 1 + len(points), dtype=np.float32)
    )


def test_the_legend_has_the_classes_that_are_seen_the_most_frequent_first() -> None:
    labels = np.array([CAR, ROAD, ROAD, IGNORE, 3], np.uint8)
    head, *entries = of_points(labels, seen(0, 1, 2, 3), LABEL_SPACE)
    assert head == (None, "Points by label")
    assert [text for _, text in entries] == ["road", "car", "ignored"]
    assert entries[0][0] == LABEL_SPACE.colours[ROAD]


def test_without_labels_the_legend_has_distances() -> None:
    assert [text for _, text in of_points(None, seen(0, 1, 2), LABEL_SPACE)][-1] == "far (3 m)"
    assert of_points(None, seen(), LABEL_SPACE)


def test_every_colour_of_the_legend_is_in_the_strip_also_if_it_is_narrow() -> None:
    for width in (1280, 260):
        strip = legend(OUTLINES, width)
        assert strip.width == width
        colours = {colour for _, colour in strip.getcolors(10_000) or ()}
        assert {colour for colour, _ in OUTLINES if colour is not None} <= colours
    assert legend(OUTLINES, 260).height > legend(OUTLINES, 1280).height
