"""The camera images beside a cloud: their pixels for the page, and where a point lies in them.

Letters: N points of a cloud, S points that are shown, H rows, W columns.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from math import sqrt
from typing import Any

import numpy as np
from PIL import Image

from lass3d_core.records import Camera

MOST_PHOTOS = 6
"""Images of one cloud. Each is a bit of a byte, so no more than eight."""

MOST_PIXELS = 400_000
"""Of all images of one cloud together: about 1150 x 350 for one, 490 x 275 for each of three."""

_SMALL = 480


@dataclass(frozen=True)
class Photo:
    """A camera image of a cloud.

    image (H,W,3) uint8. camera: takes the points of the cloud; its size may differ from the image's.
    seen (N,) bool: the points that the image shows, those hidden behind others left out.
    """

    name: str
    image: np.ndarray
    camera: Camera
    seen: np.ndarray


def best_photos(photos: Sequence[Photo]) -> tuple[Photo, ...]:
    """The MOST_PHOTOS images that show most points, in their order; those that show none are left out."""
    counts = [int(photo.seen.sum()) for photo in photos]
    best = sorted(range(len(photos)), key=lambda place: -counts[place])[:MOST_PHOTOS]
    return tuple(photos[place] for place in sorted(best) if counts[place])


def photo_payloads(photos: Sequence[Photo]) -> list[dict[str, Any]]:
    """JSON for projecting.js, one for each image."""
    return [_payload(photo, MOST_PIXELS // len(photos)) for photo in photos]


def seen_bits(photos: Sequence[Photo], chosen: np.ndarray) -> np.ndarray:
    """Bit p of each point `chosen` (S,): whether photo p shows it. (S,) uint8."""
    bits = np.zeros(len(chosen), np.uint8)
    for place, photo in enumerate(photos):
        bits |= photo.seen[chosen].astype(np.uint8) << np.uint8(place)
    return bits


def _payload(photo: Photo, most_pixels: int) -> dict[str, Any]:
    camera, lens = photo.camera, photo.camera.distortion
    height, width = camera.size_hw
    matrix = camera.K
    return {
        "name": photo.name,
        "src": _data_url(photo.image, most_pixels),
        "small": photo.image.shape[1] <= _SMALL,
        "height": height,
        "width": width,
        "K": [float(matrix[at]) for at in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2))],
        "pose": camera.cam_from_points[:3].ravel().tolist(),
        "lens": None if lens is None else {"model": lens.model, "k": list(lens.coefficients)},
    }


def _data_url(image: np.ndarray, most_pixels: int) -> str:
    """WebP, of two thirds of a JPEG's bytes. Small images are kept finer, because the page enlarges them."""
    picture = Image.fromarray(image)
    is_small = picture.width <= _SMALL
    shrink = min(1.0, sqrt(most_pixels / (picture.width * picture.height)))
    if shrink < 1 and not is_small:
        size = round(picture.width * shrink), round(picture.height * shrink)
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    buffer = BytesIO()
    picture.save(buffer, "WEBP", quality=90 if is_small else 80, method=6)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
