from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lass3d_core.errors import BackendUnavailable, DataError
from lass3d_core.files.images import read_image
from lass3d_core.records import Camera, FilePart, View
from preprocess.lvm.params import RunParams
from preprocess.stages.image_batches import BATCH, BATCHES_AHEAD, answers, images_at_once


@pytest.fixture
def views(tmp_path: Path) -> list[View]:
    """More than one batch of images of 4 x 6 pixels, each of one brightness: its number."""
    camera = Camera(np.eye(3), np.eye(4), (4, 6))
    found = []
    for number in range(BATCH + 3):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((4, 6, 3), number, np.uint8)).save(path)
        found.append(View(str(number), FilePart(path), camera))
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
    whole = views[1].image.path.read_bytes()
    views[1].image.path.write_bytes(whole[:50])
    views[4].image.path.unlink()
    found = list(answers(views, brightness, lambda units: None))
    assert str(views[1].image.path) in found[1] and "restore the file" in found[1]
    assert str(views[4].image.path) in found[4]
    assert found[5] == 5


@pytest.mark.timeout(30)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Pillow closes no pipe
def test_images_are_read_while_the_model_is_busy_but_no_more_than_the_batches_ahead(
    views: list[View], tmp_path: Path
) -> None:
    """Two files are pipes: a pipe can be written only while somebody reads it."""
    content = views[7].image.path.read_bytes()
    many = [views[3]] * ((BATCHES_AHEAD + 2) * BATCH)
    pipes = {BATCHES_AHEAD * BATCH: tmp_path / "ahead", (BATCHES_AHEAD + 1) * BATCH: tmp_path / "later"}
    for number, pipe in pipes.items():
        os.mkfifo(pipe)
        many[number] = replace(many[number], image=FilePart(pipe))
    unread = [*pipes.values()]
    too_early: list[bool] = []

    def ask(images: list[np.ndarray], views: list[View]) -> list[int]:
        if not too_early:
            too_early.append(is_read(tmp_path / "later"))
        if unread:
            unread.pop(0).write_bytes(content)  # waits for the reader
        return brightness(images, views)

    assert list(answers(many, ask, lambda units: None)) == [7 if i in pipes else 3 for i in range(len(many))]
    assert too_early == [False]


def is_read(pipe: Path) -> bool:
    """Whether somebody opens `pipe` to read it, within half a second."""
    for _ in range(10):
        with suppress(OSError):
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
            return True
        time.sleep(0.05)
    return False


def test_images_that_nobody_asks_for_any_more_are_not_read(views: list[View]) -> None:
    before = threading.active_count()
    found = answers(views * 4, brightness, lambda units: None)
    assert next(found) == 0
    found.close()
    assert threading.active_count() == before


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
    assert read_image(FilePart(path)).shape == (4, 6, 3) and read_image(FilePart(path)).dtype == np.uint8


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_text("not an image")
    with pytest.raises(DataError, match="cannot be read as an image"):
        read_image(FilePart(tmp_path / "one.png"))


def test_a_model_without_weights_holds_one_image_and_those_ahead() -> None:
    assert images_at_once(None) == 1
    assert images_at_once(RunParams(batch=2)) == BATCH and images_at_once(RunParams(batch=64)) == 64
