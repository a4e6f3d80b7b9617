from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.errors import DataError
from lass3d_core.files.masks import decode, encode
from lass3d_core.records import Entity, RunLengthMask
from preprocess.stages.entities import detected
from preprocess.stages.looks import Part, from_part, parts_of, shown

KITTI = (375, 1242)


class FindsColours:
    """Finds each thing, whose pixels have its number as their colour, and boxes and masks it exactly."""

    def __init__(self) -> None:
        self.asked: list[list[tuple[int, ...]]] = []

    def detect(
        self, images: Sequence[np.ndarray], vocabularies: Sequence[Sequence[str]]
    ) -> list[list[Entity]]:
        self.asked.append([image.shape[:2] for image in images])
        assert all(image.flags.c_contiguous for image in images)
        return [[found(image, number) for number in np.unique(image) if number] for image in images]


def found(image: np.ndarray, number: int) -> Entity:
    mask = image[..., 0] == number
    return Entity(f"thing {number}", 0.5, box_around(mask), encode(mask))


def box_around(mask: np.ndarray) -> tuple[float, float, float, float]:
    """The edges of the pixels of `mask` (H,W); the right and the lower one are outside."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), columns[-1] + 1.0, rows[-1] + 1.0


def picture(size_hw: tuple[int, int], *boxes: tuple[int, int, int, int]) -> np.ndarray:
    image = np.zeros((*size_hw, 3), np.uint8)
    for number, (x1, y1, x2, y2) in enumerate(boxes, start=1):
        image[y1:y2, x1:x2] = number
    return image


def seen_in(image: np.ndarray, *looks: str) -> list[Entity]:
    ((size_hw, entities),) = detected(FindsColours(), [image], [("thing",)], looks)
    assert size_hw == image.shape[:2]
    return entities


def test_a_kitti_frame_is_four_tiles_of_its_full_height_that_overlap() -> None:
    assert [part.tile for part in parts_of(KITTI, "tiled")] == [
        (0, 0, 350, 375),
        (297, 0, 647, 375),
        (595, 0, 945, 375),
        (892, 0, 1242, 375),
    ]


@pytest.mark.parametrize(("size_hw", "tiles"), [((480, 640), 2), ((640, 480), 2), ((900, 1600), 2)])
def test_a_photograph_is_two_tiles_along_its_longer_side(size_hw: tuple[int, int], tiles: int) -> None:
    assert len(parts_of(size_hw, "tiled")) == tiles


def test_an_image_of_one_tile_is_not_shown_whole_once_more() -> None:
    assert parts_of((480, 480), "tiled") == ()
    image = picture((48, 48), (3, 4, 9, 8))
    assert [entity.look for entity in seen_in(image, "tiled")] == ["whole"]


def test_the_mirrored_image_has_left_and_right_exchanged() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    (part,) = parts_of((2, 2), "mirrored")
    assert shown(image, part).tolist() == [[[3, 4, 5], [0, 1, 2]], [[9, 10, 11], [6, 7, 8]]]


def test_a_thing_in_the_mirrored_image_is_put_back_by_hand() -> None:
    mask = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], bool)
    entity = Entity("car", 0.5, (0.0, 0.0, 1.5, 2.0), encode(mask))
    (back,) = from_part([entity], *parts_of((2, 4), "mirrored"))
    assert (back.phrase, back.score, back.look) == ("car", 0.5, "mirrored")
    assert back.box_xyxy == (2.5, 0.0, 4.0, 2.0)
    assert decode(back.mask).astype(int).tolist() == [[0, 0, 1, 1], [0, 0, 0, 1]]


def test_a_thing_in_a_tile_is_put_back_by_hand() -> None:
    entity = Entity("car", 0.5, (0.5, 0.0, 2.0, 1.0), encode(np.array([[0, 1]], bool)))
    (back,) = from_part([entity], Part("tiled", (1, 1, 3, 2), (3, 4)))
    assert (back.box_xyxy, back.look) == ((1.5, 1.0, 3.0, 2.0), "tiled")
    assert decode(back.mask).astype(int).tolist() == [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_a_thing_of_the_whole_image_stays_as_the_detector_gave_it() -> None:
    image = picture((20, 50), (3, 4, 9, 8), (30, 0, 50, 20))
    ((entities,),) = ([FindsColours().detect([image], [("thing",)])[0]],)
    assert seen_in(image) == entities


def test_a_thing_in_the_overlap_of_two_tiles_stays_twice() -> None:
    image = picture(KITTI, (300, 100, 345, 200))
    whole, first, second = seen_in(image, "tiled")
    assert first == second and (first.box_xyxy, first.mask) == (whole.box_xyxy, whole.mask)


def test_a_thing_that_a_tile_cuts_is_found_in_pieces_that_cover_it() -> None:
    image = picture(KITTI, (250, 100, 500, 200))
    whole, first, second = seen_in(image, "tiled")
    assert (first.box_xyxy[::2], second.box_xyxy[::2]) == ((250, 350), (297, 500))
    assert np.array_equal(decode(first.mask) | decode(second.mask), decode(whole.mask))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 150), st.data())
def test_boxes_and_masks_of_every_look_lie_on_their_thing(
    height: int, width: int, data: st.DataObject
) -> None:
    boxes = []
    for _ in range(data.draw(st.integers(0, 4))):
        x1, y1 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        boxes.append((x1, y1, data.draw(st.integers(x1 + 1, width)), data.draw(st.integers(y1 + 1, height))))
    image = picture((height, width), *boxes)
    entities = seen_in(image, "mirrored", "tiled")
    of_look = {look: [one for one in entities if one.look == look] for look in ("whole", "mirrored", "tiled")}
    assert len(of_look["whole"]) == len(np.unique(image[image > 0]))
    facts = [(one.phrase, one.box_xyxy, one.mask) for one in of_look["whole"]]
    assert [(one.phrase, one.box_xyxy, one.mask) for one in of_look["mirrored"]] == facts
    tiles = [part.tile for part in parts_of((height, width), "tiled")]
    expected = []
    for x1, y1, x2, y2 in tiles:
        inside = np.zeros_like(image)
        inside[y1:y2, x1:x2] = image[y1:y2, x1:x2]
        expected += [found(inside, number) for number in np.unique(inside) if number]
    assert [(one.phrase, one.box_xyxy, one.mask) for one in of_look["tiled"]] == [
        (one.phrase, one.box_xyxy, one.mask) for one in expected
    ]


def test_images_of_a_batch_get_what_each_gets_alone() -> None:
    images = [
        picture((30, 100), (3, 4, 9, 8), (50, 0, 90, 30)),
        picture((40, 40), (0, 0, 40, 40)),
        picture((90, 20), (5, 60, 15, 90)),
    ]
    words = [("thing",), ("thing",), ("thing",)]
    looks = ("mirrored", "tiled")
    alone = [detected(FindsColours(), [image], [("thing",)], looks)[0] for image in images]
    assert detected(FindsColours(), images, words, looks) == alone


def test_the_detector_never_gets_more_at_once_than_the_batch() -> None:
    detector = FindsColours()
    detected(
        detector, [picture((10, 26)), picture((10, 26))], [("thing",), ("thing",)], ("mirrored", "tiled")
    )
    tile = (10, 10)
    assert detector.asked == [[(10, 26)] * 2, [(10, 26)] * 2, [tile] * 2, [tile] * 2, [tile] * 2]


def test_an_image_without_a_word_to_ask_for_is_shown_in_no_look() -> None:
    detector = FindsColours()
    answers = detected(
        detector, [picture((10, 26)), picture((12, 31), (1, 1, 3, 3))], [(), ("thing",)], ("tiled",)
    )
    assert [len(entities) for _, entities in answers] == [0, 2]
    assert detector.asked == [[(12, 31)], [(12, 12)] * 2, [(12, 12)]]


def test_no_image_is_no_answer() -> None:
    assert detected(FindsColours(), [], [], ("mirrored", "tiled")) == []


@pytest.mark.parametrize("look", ["mirrored", "tiled"])
def test_a_mask_of_another_size_than_what_was_shown_is_refused(look: str) -> None:
    class Wrong:
        def detect(self, images: Sequence[np.ndarray], vocabularies: object) -> list[list[Entity]]:
            mask = encode(np.ones((10, 26), bool)) if images[0].any() else encode(np.ones((3, 3), bool))
            return [[Entity("car", 0.5, (0.0, 0.0, 1.0, 1.0), mask)] for _ in images]

    with pytest.raises(DataError, match=rf"the mask of 'car' is \(3, 3\), the {look} image \(10, "):
        detected(Wrong(), [picture((10, 26))], [("car",)], (look,))


def test_a_damaged_mask_is_refused() -> None:
    entity = Entity("car", 0.5, (0.0, 0.0, 1.0, 1.0), RunLengthMask((2, 4), "0"))
    with pytest.raises(DataError, match="damaged"):
        list(from_part([entity], *parts_of((2, 4), "mirrored")))
