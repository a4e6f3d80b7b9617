"""A tiny Florence-2 that answers: a car on the road where it sees blue, a person and a tree where red."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers", reason="needs the [lvm] extra: make setup-lvm")


from lass3d_core.errors import DataError
from lass3d_core.manifest.schema import LvmSpec
from lass3d_core.records import ImageCaption
from preprocess.lvm import load_captioner
from preprocess.lvm.florence2 import Florence2Captioner
from preprocess.lvm.params import Florence2Params, RunParams

BLUE, RED = (0, 0, 255), (255, 0, 0)
CAR = ("a car", (20.0, 20.0, 99.0, 69.0))  # places 100, 200, 499, 699 of 1000, in whole pixels of 200 x 100
ROAD = ("the road", (0.0, 50.0, 199.0, 99.0))


def plain(colour: tuple[int, int, int], height: int = 100, width: int = 100) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def grounded(caption: ImageCaption) -> list[tuple[str, tuple[float, ...]]]:
    return [(item.phrase, item.box_xyxy) for item in caption.phrases]


@pytest.fixture(scope="module")
def params(florence2_folder: Path) -> Florence2Params:
    run = RunParams(device="cpu", batch=3)
    return Florence2Params(str(florence2_folder), task="caption", max_new_tokens=40, run=run)


def test_a_caption_is_grounded_in_a_second_call(params: Florence2Params) -> None:
    whole = replace(params, tiles=replace(params.tiles, max_aspect=2.0))
    (caption,) = Florence2Captioner(whole).caption([plain(BLUE, 100, 200)])
    assert caption.text == "a car on the road."
    assert grounded(caption) == [CAR, ROAD]
    said, shown = caption.raw.splitlines()
    assert said == "a car on the road."
    assert shown == "a car<loc_100><loc_200><loc_499><loc_699>the road<loc_0><loc_500><loc_999><loc_999>"


def test_a_phrase_with_two_boxes_stands_once_per_box(params: Florence2Params) -> None:
    (caption,) = Florence2Captioner(params).caption([plain(RED)])
    assert grounded(caption) == [("a person", (0.0, 0.0, 9.0, 19.0)), ("a person", (50.0, 0.0, 59.0, 19.0))]


def test_a_wide_image_is_captioned_in_tiles(params: Florence2Params) -> None:
    (caption,) = Florence2Captioner(params).caption([np.hstack([plain(BLUE), plain(RED)])])
    assert caption.text == "a car on the road. a person and a tree."
    assert grounded(caption)[-1] == ("a person", (91 + 54.0, 0.0, 91 + 65.0, 19.0))


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_many_images_at_once_give_what_each_gives_alone(params: Florence2Params, batch: int) -> None:
    rng = np.random.default_rng(0)
    images = [plain(BLUE), plain(RED, 60, 200), *rng.integers(0, 256, (2, 40, 60, 3), np.uint8), plain(RED)]
    captioner = Florence2Captioner(replace(params, run=RunParams("cpu", batch)))
    alone = [captioner.caption([image])[0] for image in images]
    assert captioner.caption(images) == alone
    assert captioner.caption(images[::-1]) == alone[::-1]


def test_a_cut_answer_keeps_whole_words(params: Florence2Params) -> None:
    (caption,) = Florence2Captioner(replace(params, max_new_tokens=6)).caption([plain(BLUE)])
    assert "a car on the road".startswith(caption.text) and caption.text


def test_weights_of_kosmos2_are_refused(kosmos2_folder: Path) -> None:
    with pytest.raises(DataError, match=r"florence2: .* holds a model of type kosmos-2, not florence2"):
        load_captioner(LvmSpec("florence2", {"weights": str(kosmos2_folder)}))
