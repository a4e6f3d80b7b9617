"""The steps that all grounded detectors share, with toy models in place of the networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from lass3d_core.errors import DataError
from lass3d_core.files.masks import decode
from lass3d_core.records import Entity
from preprocess.lvm.box_search import Answer, BoxSearch, GroundedDetector
from preprocess.lvm.params import PromptedParams, RunParams

COLOURS = {"red": 0, "green": 1, "blue": 2}


class ToyBoxes:
    """Finds one box: the bright pixels of the channel that a word names. A word is a token."""

    window = 8

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def token_count(self, text: str) -> int:
        return len(text.split())

    def ask(self, images: Sequence[np.ndarray], prompts: Sequence[str]) -> list[Answer]:
        assert len({image.shape for image in images}) == 1
        self.asked.append(list(prompts))
        return [self._answer(image, prompt) for image, prompt in zip(images, prompts)]

    def _answer(self, image: np.ndarray, prompt: str) -> Answer:
        tokens = ["start", *prompt.split(), "end"]
        height, width = image.shape[:2]
        logits, boxes = np.full((3, len(tokens)), -9.0, np.float32), np.zeros((3, 4), np.float32)
        for word, channel in COLOURS.items():
            rows, columns = np.nonzero(image[..., channel])
            if word in tokens and len(rows):
                logits[channel, tokens.index(word)] = float(image[..., channel].max()) / 50 - 1
                low, high = (columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)
                centre, extent = np.add(low, high) / 2, np.subtract(high, low)
                boxes[channel] = np.concatenate([centre, extent]) / [width, height, width, height]
        return logits, boxes


class ToyMasks:
    """Masks the whole box."""

    def masks(self, image: np.ndarray, boxes_xyxy: np.ndarray) -> list[np.ndarray]:
        found = []
        for left, top, right, bottom in boxes_xyxy.round().astype(int):
            found.append(np.zeros(image.shape[:2], bool))
            found[-1][top:bottom, left:right] = True
        return found


def image_of(size_hw: tuple[int, int], **places: tuple[int, int, int]) -> np.ndarray:
    """An image with a square of 4 pixels per colour, at (row, column), of a brightness."""
    image = np.zeros((*size_hw, 3), np.uint8)
    for word, (row, column, brightness) in places.items():
        image[row : row + 4, column : column + 4, COLOURS[word]] = brightness
    return image


WIDE = image_of((20, 60), red=(2, 3, 200), green=(9, 40, 100))
TALL = image_of((60, 20), blue=(30, 10, 150), red=(2, 2, 220))


def detector(batch: int = 8, **params: object) -> tuple[GroundedDetector, ToyBoxes]:
    boxes = ToyBoxes()
    search = BoxSearch("toy", boxes, PromptedParams(run=RunParams("cpu", batch), **params))
    return GroundedDetector(search, ToyMasks()), boxes


def found_in(entities: list[Entity]) -> list[tuple[str, tuple[float, ...]]]:
    return [(entity.phrase, tuple(np.round(entity.box_xyxy, 4))) for entity in entities]


def test_entities_are_named_by_their_vocabulary_best_first() -> None:
    wide, tall = detector()[0].detect([WIDE, TALL], [["green", "red", "blue"], ["blue"]])
    assert found_in(wide) == [("red", (3, 2, 7, 6)), ("green", (40, 9, 44, 13))]
    assert found_in(tall) == [("blue", (10, 30, 14, 34))]
    assert [entity.score for entity in wide] == pytest.approx([1 / (1 + np.exp(-3)), 1 / (1 + np.exp(-1))])
    assert decode(wide[0].mask)[2:6, 3:7].all() and decode(wide[0].mask).sum() == 16


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_batches_hold_one_size_and_change_nothing(batch: int) -> None:
    images, words = [WIDE, TALL, WIDE, WIDE], [["red"], ["red", "blue"], ["green"], ["red", "green"]]
    alone = [detector()[0].detect([image], [asked])[0] for image, asked in zip(images, words)]
    many, _ = detector(batch)
    assert many.detect(images, words) == alone
    assert many.detect(images[::-1], words[::-1]) == alone[::-1]


def test_phrases_beyond_the_window_are_asked_for_in_other_passes() -> None:
    many, boxes = detector()
    (found,) = many.detect([WIDE], [["a small house", "red", "green", "one more tree"]])
    assert boxes.asked == [["a small house . red .", "green . one more tree ."]]
    assert [entity.phrase for entity in found] == ["red", "green"]
    one_by_one, boxes = detector(max_phrases=1)
    assert one_by_one.detect([WIDE], [["red", "green"]]) == [found]
    with pytest.raises(DataError, match="more than the text encoder's window"):
        many.detect([WIDE], [["a b c d e f g"]])


def test_no_words_no_boxes_and_no_images_give_no_entity() -> None:
    some, boxes = detector()
    assert some.detect([WIDE, WIDE], [[], ["?"]]) == [[], []] and boxes.asked == []
    assert detector(box_floor=1.0)[0].detect([WIDE], [["red"]]) == [[]]
    assert some.detect([], []) == []


def test_a_box_without_a_masked_pixel_is_no_entity() -> None:
    class Blind(ToyMasks):
        def masks(self, image: np.ndarray, boxes_xyxy: np.ndarray) -> list[np.ndarray]:
            return [np.zeros(image.shape[:2], bool) for _ in boxes_xyxy]

    search = BoxSearch("toy", ToyBoxes(), PromptedParams())
    assert GroundedDetector(search, Blind()).detect([WIDE], [["red"]]) == [[]]
