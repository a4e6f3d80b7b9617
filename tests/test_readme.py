"""README is a screen and a half: what it is, a picture, two commands, and where to read on."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PICTURES = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", README)


def test_it_has_at_most_900_words() -> None:
    assert len([word for word in README.split() if re.search(r"\w", word)]) <= 900


def test_its_picture_stands_before_the_first_command_and_is_small() -> None:
    ((words, file),) = PICTURES
    assert README.index(file) < README.index("make demo") and len(words.split()) > 10
    assert (ROOT / file).stat().st_size < 300_000
    with Image.open(ROOT / file) as picture:
        assert 840 <= picture.width <= 1600  # sharp at twice 420 pixels


def test_it_credits_the_frame_of_its_picture() -> None:
    assert "PandaSet (CC BY 4.0)" in README and "Apache-2.0" in README
