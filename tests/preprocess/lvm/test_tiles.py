from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.records import GroundedPhrase, ImageCaption
from preprocess.lvm.params import TileParams
from preprocess.lvm.tiles import captioned, ended, merge_captions, tiles_of, without_tail

sides = st.integers(8, 2000)
params = st.builds(TileParams, max_aspect=st.floats(1.0, 4.0), overlap=st.floats(0.0, 0.5))


def bright_spots(images: list[np.ndarray]) -> list[ImageCaption]:
    """A captioner that grounds one phrase in the box around the bright pixels of an image, if it has any."""
    found = []
    for image in images:
        rows, columns = np.nonzero(image[:, :, 0])
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else None
        phrases = (GroundedPhrase("a spot", box),) if box else ()
        found.append(ImageCaption(f"{len(rows)} pixels", phrases, raw=f"<{len(rows)}>"))
    return found


def test_a_kitti_frame_becomes_three_tiles() -> None:
    assert tiles_of((376, 1241), TileParams()) == (
        (0, 0, 460, 376),
        (390, 0, 850, 376),
        (781, 0, 1241, 376),
    )


def test_a_tall_image_is_cut_from_top_to_bottom() -> None:
    assert tiles_of((200, 100), TileParams()) == ((0, 0, 100, 109), (0, 91, 100, 200))


@pytest.mark.parametrize("size_hw", [(480, 640), (968, 1296), (640, 480), (300, 300), (1, 1)])
def test_a_photograph_stays_whole(size_hw: tuple[int, int]) -> None:
    assert tiles_of(size_hw, TileParams()) == ((0, 0, size_hw[1], size_hw[0]),)


@settings(max_examples=50, deadline=None)
@given(sides, sides, params)
def test_tiles_are_equal_cover_the_image_and_overlap(height: int, width: int, params: TileParams) -> None:
    tiles = tiles_of((height, width), params)
    long, short = max(height, width), min(height, width)
    spans = [(x1, x2) if width >= height else (y1, y2) for x1, y1, x2, y2 in tiles]
    (side,) = {end - start for start, end in spans}
    assert spans[0][0] == 0 and spans[-1][1] == long
    shared = [end - start for (_, end), (start, _) in pairwise(spans)]
    assert all(overlap >= params.overlap * side - 1.5 for overlap in shared)
    assert side <= math.ceil(short * params.max_aspect)
    assert {(x2 - x1, y2 - y1) for x1, y1, x2, y2 in tiles} == {
        (side, height) if width >= height else (width, side)
    }


@settings(max_examples=50, deadline=None)
@given(st.integers(8, 60), st.integers(8, 200), params, st.data())
def test_every_tile_that_sees_a_pixel_boxes_it_in_the_whole_image(
    height: int, width: int, params: TileParams, data: st.DataObject
) -> None:
    v, u = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    image = np.zeros((height, width, 3), np.uint8)
    image[v, u] = 255
    (caption,) = captioned([image], params, bright_spots)
    seeing = sum(x1 <= u < x2 and y1 <= v < y2 for x1, y1, x2, y2 in tiles_of((height, width), params))
    assert [item.box_xyxy for item in caption.phrases] == [(u, v, u + 1, v + 1)] * seeing
    assert seeing >= 1


def test_all_tiles_of_all_images_are_asked_for_together() -> None:
    images = [np.zeros((10, width, 3), np.uint8) for width in (10, 20, 33)]
    asked: list[list[tuple[int, ...]]] = []

    def caption(tiles: list[np.ndarray]) -> list[ImageCaption]:
        asked.append([tile.shape for tile in tiles])
        return bright_spots(tiles)

    assert len(captioned(images, TileParams(), caption)) == 3
    assert asked == [[(10, 10, 3), (10, 11, 3), (10, 11, 3), (10, 13, 3), (10, 13, 3), (10, 13, 3)]]


def test_captions_of_tiles_are_joined_in_order_without_repeating_a_sentence() -> None:
    car, tree = GroundedPhrase("a car", (0, 0, 1, 1)), GroundedPhrase("a tree", (2, 0, 3, 1))
    parts = [
        ImageCaption("A car. ", (car,), "<1>"),
        ImageCaption("A tree", (tree, car), "<2>"),
        ImageCaption("A car.", (car,), "<3>"),
        ImageCaption(" ", (), "<4>"),
    ]
    assert merge_captions(parts) == ImageCaption(
        "A car. A tree.", (car, tree, car, car), "<1>\n<2>\n<3>\n<4>"
    )


@pytest.mark.parametrize("wrong", [{"max_aspect": 0.9}, {"overlap": -0.1}, {"overlap": 0.6}])
def test_impossible_tiles_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TileParams(**wrong)


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("A car. A road. A hou", "A car. A road."),
        ("A car. A road.", "A car. A road."),
        ("Is it a car? It is", "Is it a car?"),
        ("a lane 3.5 m wide and a", "a lane 3.5 m wide and"),
        ("a car on the roa", "a car on the"),
        ("ca", "ca"),
        ("", ""),
    ],
)
def test_a_cut_answer_goes_back_to_its_last_whole_sentence_or_word(text: str, mended: str) -> None:
    assert without_tail(text) == mended


@pytest.mark.parametrize(("text", "sentence"), [("a car ", "a car."), ("a car.", "a car."), ("ho!", "ho!")])
def test_a_sentence_has_a_full_stop(text: str, sentence: str) -> None:
    assert ended(text) == sentence
