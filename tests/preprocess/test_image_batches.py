from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lass3d_core.errors import BackendUnavailable, DataError
from lass3d_core.records import Camera, View
from preprocess.image_batches import BATCH, answers, read_image


@pytest.fixture
def views(tmp_path: Path) -> list[View]:
    """More than one batch of images of 4 x 6 pixels, each of one brightness: its number."""
    camera = Camera(np.eye(3), np.eye(4), (4, 6))
    found = []
    for number in range(BATCH + 3):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((4, 6, 3), number, np.uint8)).save(path)
        found.append(View(str(number), path, camera))
    return found


def brightness(images: list[np.ndarray], views: list[View]) -> list[int]:
    return [int(image[0, 0, 0]) for image in images]


def test_answers_come_in_order_and_every_image_is_counted(views: list[View]) -> None:
    ticks: list[int] = []
    assert list(answers(views, brightness, ticks.append)) == list(range(BATCH + 3))
    assert ticks == [BATCH, 3]


def test_an_image_that_the_model_refuses_is_named_and_the_others_are_answered(views: list[View]) -> None:
    def ask(images: list[np.ndarray], views: list[View]) -> list[int]:
        if any(view.image_id == "2" for view in views):
            raise RuntimeError("no pixel\nsecond line")
        return brightness(images, views)

    found = list(answers(views, ask, lambda units: None))
    assert found[2] == "RuntimeError: no pixel"
    assert found[:2] + found[3:] == [number for number in range(BATCH + 3) if number != 2]


def test_an_image_that_cannot_be_read_says_which_file(views: list[View]) -> None:
    whole = views[1].image_path.read_bytes()
    views[1].image_path.write_bytes(whole[:50])
    views[4].image_path.unlink()
    found = list(answers(views, brightness, lambda units: None))
    assert str(views[1].image_path) in found[1] and "restore the file" in found[1]
    assert str(views[4].image_path) in found[4]
    assert found[5] == 5


def test_too_few_answers_are_a_fault_of_the_image(views: list[View]) -> None:
    found = list(answers(views[:1], lambda images, views: [], lambda units: None))
    assert found == ["the model gave 0 answers for 1 images"]


def test_an_absent_backend_is_no_fault_of_an_image(views: list[View]) -> None:
    def ask(images: list[np.ndarray], views: list[View]) -> list[int]:
        raise BackendUnavailable("no GPU")

    with pytest.raises(BackendUnavailable):
        list(answers(views, ask, lambda units: None))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16"])
def test_every_kind_of_image_is_read_as_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "one.png"
    Image.new(mode, (6, 4)).save(path)
    assert read_image(path).shape == (4, 6, 3) and read_image(path).dtype == np.uint8


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_text("not an image")
    with pytest.raises(DataError, match="cannot be read as an image"):
        read_image(tmp_path / "one.png")
