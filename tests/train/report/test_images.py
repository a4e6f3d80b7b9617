from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from lass3d_core.files.masks import encode
from lass3d_core.records import Entity, FilePart, GroundedPhrase, ImageCaption
from train.report.images import PicturedImage, image_gallery
from train.report.render import render

_BOX = (0.0, 0.0, 1.0, 1.0)


WORDS = ("image_captions", "entities", "text_embeddings", "warning")


def _picture(path: Path, size: tuple[int, int] = (32, 24)) -> FilePart:
    Image.fromarray(np.full((size[1], size[0], 3), 90, np.uint8)).save(path)
    return FilePart(path)


def _entity(phrase: str, score: float, columns: slice, shape: tuple[int, int] = (24, 32)) -> Entity:
    mask = np.zeros(shape, bool)
    mask[:, columns] = True
    return Entity(phrase, score, _BOX, encode(mask))


def _caption(text: str, *phrases: str) -> ImageCaption:
    return ImageCaption(text, tuple(GroundedPhrase(phrase, _BOX) for phrase in phrases), text)


def _image(uri: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(uri.partition("base64,")[2])))


def _page(image: PicturedImage) -> str:
    return render("images.html", images=image_gallery([image]), words=dict.fromkeys(WORDS))


def test_caption_and_phrases_are_escaped(tmp_path: Path) -> None:
    hostile = "<script>alert('x')</script>"
    image = PicturedImage(
        hostile,
        _picture(tmp_path / "a.png"),
        _caption(f"a wall {hostile}", hostile),
        (_entity(hostile, 0.5, np.s_[:4]),),
    )
    drawn = _page(image)
    assert "<script" not in drawn
    assert "&lt;script&gt;" in drawn


def test_grounded_phrases_are_marked_in_the_caption() -> None:
    drawn = _page(PicturedImage("0", None, _caption("A red car on the road.", "road", "car", "red car"), ()))
    assert "A <mark>red car</mark> on the <mark>road</mark>." in drawn


def test_a_picture_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    drawn = _page(PicturedImage("0", FilePart(tmp_path / "gone.png"), _caption("a wall"), ()))
    assert "gone.png does not exist; restore the file" in drawn
    assert "a wall" in drawn


def test_a_picture_that_cannot_be_read_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    assert "bad.png cannot be read" in _page(PicturedImage("0", FilePart(tmp_path / "bad.png"), None, ()))


def test_nothing_recorded_is_said_in_words() -> None:
    drawn = _page(PicturedImage("0", None, None, ()))
    for words in ("not recorded", "No caption", "No entities"):
        assert words in drawn


def test_a_small_picture_is_kept_to_the_pixel_and_a_large_one_shrunk(tmp_path: Path) -> None:
    images = [
        PicturedImage("small", _picture(tmp_path / "small.png"), None, ()),
        PicturedImage("large", _picture(tmp_path / "large.png", (1920, 1080)), None, ()),
    ]
    small, large = (_image(shown.photo) for shown in image_gallery(images))
    assert (small.format, small.size) == ("PNG", (32, 24))
    assert (large.format, large.size) == ("JPEG", (960, 540))


def test_a_small_entity_lies_over_the_large_one_that_holds_it(tmp_path: Path) -> None:
    found = (_entity("a lamp", 0.4, np.s_[10:14]), _entity("a wall", 0.9, np.s_[:20]))
    (shown,) = image_gallery([PicturedImage("0", _picture(tmp_path / "a.png"), None, found)])
    colours = np.asarray(_image(shown.overlay).convert("RGBA"))[12]
    assert not np.array_equal(colours[12, :3], colours[2, :3])
    assert colours[2, 3] == colours[12, 3] > 0
    assert colours[30, 3] == 0


def test_a_phrase_keeps_its_colour_in_all_images() -> None:
    first = PicturedImage(
        "0", None, None, (_entity("a lamp", 0.4, np.s_[:4]), _entity("a wall", 0.9, np.s_[:20]))
    )
    second = PicturedImage("1", None, None, (_entity("a wall", 0.8, np.s_[:20]),))
    (wall, lamp), (again,) = (shown.phrases for shown in image_gallery([first, second]))
    assert wall.phrase == again.phrase == "a wall"
    assert wall.colour == again.colour != lamp.colour


def test_several_entities_of_one_phrase_are_counted_with_the_best_score() -> None:
    found = tuple(_entity("a car", score, np.s_[:4]) for score in (0.41, 0.93, 0.5))
    assert "×3 0.93" in _page(PicturedImage("0", None, None, found))
