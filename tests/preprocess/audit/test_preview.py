"""`make preview` and `make captions LIMIT=n`: words and a picture, and not one shard touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lass3d_core.files.masks import encode
from lass3d_core.records import NONE, Entity, GroundedPhrase, ImageCaption
from preprocess.audit.overlays import caption_panels


@pytest.fixture
def image(street: Any) -> Path:
    return street.sequences / "00" / "image_2" / "000001.png"


def test_preview_prints_caption_phrases_and_entities(street: Any, image: Path, capfd: Any) -> None:
    assert street.run("preview", str(image)) == 0
    lines = capfd.readouterr().out.splitlines()
    picture = street.artifacts / "preview" / "000001.png"
    assert lines[0] == "000001.png, 320 x 96 pixels"
    assert lines[1].startswith("  caption   An outdoor scene with ")
    phrases = lines[2].removeprefix("  phrases   ").split(", ")
    assert [line[2:].split("  ")[0].strip() for line in lines[4:-2]] == phrases
    assert lines[-1] == f"picture written to {picture}"
    with Image.open(picture) as drawn:
        assert drawn.width == 1280 and drawn.height > 2 * 4 * 96


def test_preview_touches_no_shard(street: Any, image: Path, finished_street: Any) -> None:
    street.set(image_captions__params__max_phrases=2)
    assert street.run("preview", str(image)) == 0
    assert street.run("captions", "--limit", "2") == 0
    assert street.content() == finished_street.content()


def test_fixed_vocabulary_is_what_the_detector_is_asked_for(street: Any, image: Path, capfd: Any) -> None:
    street.set(entities__vocabulary="fixed", entities__fixed=["road", "Sofa"])
    assert street.run("preview", str(image)) == 0
    rows = [line.split() for line in capfd.readouterr().out.splitlines()[4:-2]]
    assert [row[0] for row in rows] == ["road", "sofa"]
    assert int(rows[0][1]) > 0 and rows[1][1:4] == ["0", "0", "-"]


def test_score_threshold_is_applied_to_what_is_kept(street: Any, image: Path, capfd: Any) -> None:
    street.set(pairs__min_score=1.0)
    assert street.run("preview", str(image)) == 0
    printed = capfd.readouterr().out.splitlines()
    assert "  kept: with a score of at least pairs.min_score, 1" in printed
    assert all(line.split()[-3] == "0" and line.split()[-1] == "0.0%" for line in printed[4:-2])


def test_unreadable_image_is_one_line(street: Any, tmp_path: Path, one_line: Any) -> None:
    (tmp_path / "broken.png").write_bytes(b"not an image")
    assert street.run("preview", str(tmp_path / "broken.png")) == 2
    assert "broken.png cannot be read as an image" in one_line()


def test_first_images_are_shown_by_every_stage(street: Any, capfd: Any) -> None:
    assert street.run("captions", "--limit", "3") == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines if line.endswith(" pixels")] == [
        "00/000000/image_2",
        "00/000001/image_2",
        "00/000002/image_2",
    ]
    assert "rows of 64 dimensions, 0 cut" in lines[-2]
    assert lines[-1] == "looked at 3 images; nothing was written"


def test_single_stage_shows_that_stage(street: Any, capfd: Any) -> None:
    assert street.run("captions", "--limit", "1", "--only", "image_captions") == 0
    printed = capfd.readouterr().out
    assert "caption" in printed and "entities" not in printed and "dimensions" not in printed


def test_limit_below_one_is_refused(street: Any, one_line: Any) -> None:
    assert street.run("captions", "--limit", "0") == 2
    assert "--limit: must be at least 1, got 0" in one_line()


def test_panels_hold_boxes_above_and_masks_below() -> None:
    image = np.full((20, 640, 3), 100, np.uint8)
    mask = np.zeros((20, 640), bool)
    mask[5:10, 300:400] = True
    owner = np.where(mask, 0, NONE).astype(np.int16)
    caption = ImageCaption("a car", (GroundedPhrase("car", (10.0, 4.0, 60.0, 18.0)),), "a car")
    entity = Entity("car", 0.9, (300.0, 5.0, 400.0, 10.0), encode(mask))
    drawn = np.asarray(caption_panels(image, caption, [entity], owner))
    above, below, words = drawn[:40], drawn[40:80], drawn[80:]
    assert tuple(above[34, 20]) != (100, 100, 100) and tuple(above[20, 1000]) == (100, 100, 100)
    assert tuple(below[12, 610]) != (100, 100, 100) and tuple(below[34, 20]) == (100, 100, 100)
    assert words.max() == 255 and tuple(words[0, 0]) == (0, 0, 0)


def test_image_without_words_has_panels_too() -> None:
    image = np.full((20, 30, 3), 100, np.uint8)
    drawn = caption_panels(image, ImageCaption("", (), ""), [], np.full((20, 30), NONE, np.int16))
    assert drawn.width == 42 * 30
