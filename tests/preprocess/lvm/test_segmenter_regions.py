"""The connected parts of a map of classes."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.lvm.segmenter_output import UNKNOWN, Classified
from preprocess.lvm.segmenter_regions import SCORE_OF_CLASSES, regions

CLASSES = np.full((6, 10), UNKNOWN, np.int16)
CLASSES[:2], CLASSES[4:, :3], CLASSES[4:, 7:] = 170, 2, 2
CLASSES[3, 5] = 2


def test_each_part_of_a_class_is_a_region_with_its_box_and_area() -> None:
    seen = regions(Classified(CLASSES, None), min_pixels=2)
    assert [(one.concept, one.area, one.box_xyxy, one.score) for one in seen.found] == [
        (2, 6, (0.0, 4.0, 3.0, 6.0), SCORE_OF_CLASSES),
        (2, 6, (7.0, 4.0, 10.0, 6.0), SCORE_OF_CLASSES),
        (170, 20, (0.0, 0.0, 10.0, 2.0), SCORE_OF_CLASSES),
    ]
    assert [int((seen.labels == label).sum()) for label in (1, 2, 3)] == [6, 6, 20]
    assert len(regions(Classified(CLASSES, None), min_pixels=1).found) == 4


def test_the_score_of_a_region_is_the_mean_probability_of_its_pixels() -> None:
    probability = np.linspace(0.5, 1.0, 60, dtype=np.float32).reshape(6, 10)
    found = regions(Classified(CLASSES, probability), min_pixels=2).found
    wanted = [probability[4:, :3].mean(), probability[4:, 7:].mean(), probability[:2].mean()]
    assert [one.score for one in found] == pytest.approx(wanted)


@pytest.mark.parametrize("probability", [None, np.ones((6, 10), np.float32)])
def test_a_map_of_nothing_has_no_region(probability: np.ndarray | None) -> None:
    seen = regions(Classified(np.full((6, 10), UNKNOWN, np.int16), probability), min_pixels=1)
    assert seen.found == () and not seen.labels.any()
