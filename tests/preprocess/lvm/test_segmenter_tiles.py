"""The classes of wide images from tiles."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.lvm.params import TileParams
from preprocess.lvm.segmenter_output import Classified
from preprocess.lvm.segmenter_tiles import classified

TWO = TileParams(max_aspect=2.0)


def classes_of(tile: np.ndarray) -> Classified:
    """The red channel as class, the green one as probability."""
    return Classified(tile[..., 0].astype(np.int16), tile[..., 1].astype(np.float32))


@pytest.mark.parametrize("size_hw", [(20, 40), (9, 16), (40, 40), (37, 124), (124, 37), (10, 300), (300, 10)])
def test_the_tiles_give_each_pixel_its_own_class(size_hw: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 200, (*size_hw, 3), np.uint8)
    seen = classified(image, TWO, classes_of)
    assert np.array_equal(seen.classes, image[..., 0])
    assert seen.probability is not None and np.array_equal(seen.probability, image[..., 1])


@pytest.mark.parametrize(
    ("size_hw", "count"), [((540, 960), 1), ((375, 1242), 2), ((1200, 400), 2), ((10, 90), 6)]
)
def test_only_long_images_are_cut_and_no_tile_is_longer_than_it_may_be(
    size_hw: tuple[int, int], count: int
) -> None:
    shapes = []

    def classify(tile: np.ndarray) -> Classified:
        shapes.append(tile.shape[:2])
        return classes_of(tile)

    classified(np.zeros((*size_hw, 3), np.uint8), TWO, classify)
    assert len(shapes) == count
    assert all(max(shape) <= 2 * min(shape) + 1 for shape in shapes)


@pytest.mark.parametrize("turned", [False, True])
def test_two_tiles_share_what_both_see_by_halves(turned: bool) -> None:
    numbers = iter(range(9))

    def classify(tile: np.ndarray) -> Classified:
        return Classified(np.full(tile.shape[:2], next(numbers), np.int16), None)

    image = np.zeros((100, 20, 3) if turned else (20, 100, 3), np.uint8)
    seen = classified(image, TileParams(max_aspect=3.0, overlap=0.5), classify)
    line = seen.classes[:, 0] if turned else seen.classes[0]
    # Three tiles of 50, or two of 67 that share 33 to 67: the fewest are taken.
    assert line.tolist() == np.repeat([0, 1, 2], [37, 25, 38]).tolist() or np.unique(line).size == 2
    assert seen.probability is None
