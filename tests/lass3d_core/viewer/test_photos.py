from __future__ import annotations

import base64
from dataclasses import replace
from io import BytesIO

import numpy as np
from PIL import Image

from lass3d_core.viewer.clouds import PicturedCloud
from lass3d_core.viewer.photos import MOST_PHOTOS, MOST_PIXELS, Photo, best_photos, photo_payloads, seen_bits
from tests.lass3d_core.viewer.conftest import camera


def photo(name: str, seen: int, size_hw: tuple[int, int] = (120, 320)) -> Photo:
    return Photo(name, np.zeros((*size_hw, 3), np.uint8), camera(), np.arange(100) < seen)


def opened(source: str) -> Image.Image:
    head, _, text = source.partition(",")
    assert head == "data:image/webp;base64"
    return Image.open(BytesIO(base64.b64decode(text)))


def test_the_images_that_show_most_points_are_kept_in_their_order() -> None:
    photos = [photo(str(place), seen) for place, seen in enumerate((5, 0, 9, 1, 7, 2, 3, 4))]
    assert [one.name for one in best_photos(photos)] == ["0", "2", "4", "5", "6", "7"]
    assert len(best_photos(photos)) == MOST_PHOTOS
    assert best_photos([photo("none", 0)]) == ()


def test_large_images_are_shrunk_and_small_ones_keep_their_size() -> None:
    large = opened(photo_payloads([photo("large", 1, (1080, 1920))])[0]["src"])
    assert large.width * large.height <= 1.01 * MOST_PIXELS
    assert abs(large.width / large.height - 1920 / 1080) < 0.01
    small = photo_payloads([photo("small", 1), photo("other", 1)])[0]
    assert opened(small["src"]).size == (320, 120) and small["small"]


def test_a_photo_is_measured_in_pixels_of_its_camera_and_not_of_the_picture() -> None:
    shrunk = photo_payloads([photo("half", 1, (60, 160))])[0]
    assert (shrunk["height"], shrunk["width"]) == (120, 320)


def test_each_photo_is_a_bit_of_the_points_it_shows(pictured: PicturedCloud) -> None:
    chosen = np.arange(0, 900, 7)
    bits = seen_bits(pictured.photos, chosen)
    for place, one in enumerate(pictured.photos):
        assert np.array_equal((bits >> place & 1).astype(bool), one.seen[chosen])
    assert not seen_bits(replace(pictured, photos=()).photos, chosen).any()
