"""Reading of colour and depth images, which are files or parts of a container (.sens).

A pixel is `image[v, u]`. Nothing is cached, because stages read every image once.
"""

from __future__ import annotations

import io
import zlib

import numpy as np
from PIL import Image

from lass3d_core.errors import DataError, reading
from lass3d_core.records import DepthImage, FilePart

_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def read_image(part: FilePart) -> np.ndarray:
    """Read the image (H,W,3) uint8 RGB. Raises DataError."""
    try:
        with Image.open(io.BytesIO(read_part(part))) as image:
            return np.asarray(image.convert("RGB"))
    except _UNREADABLE as error:
        raise _unreadable(part, "an image", error) from None


def image_size(part: FilePart) -> tuple[int, int]:
    """Read height and width from the image's header. Raises DataError."""
    try:
        source = part.path if part.size is None else io.BytesIO(read_part(part))
        with Image.open(source) as image:
            width, height = image.size
    except FileNotFoundError:
        raise DataError(f"{part} does not exist; get the images or mend the manifest") from None
    except _UNREADABLE:
        raise DataError(f"{part} is not a readable image; copy it again") from None
    if not (width and height):
        raise DataError(f"{part} is an image of {width} x {height} pixels; copy it again")
    return height, width


def read_depth(depth: DepthImage) -> np.ndarray:
    """Read the depth along the optical axis (H,W) float32, metres; 0 is no measurement. Raises DataError."""
    try:
        values = _raw_depth(read_part(depth.part), depth)
    except (*_UNREADABLE, zlib.error) as error:
        raise _unreadable(depth.part, "a depth image", error) from None
    if values.shape != depth.camera.size_hw:
        raise DataError(
            f"{depth.part} is {values.shape}, its camera {depth.camera.size_hw} (height, width); "
            "restore the file or its intrinsics"
        )
    return values.astype(np.float32) / np.float32(depth.units_per_m)


def read_part(part: FilePart) -> bytes:
    """Read the bytes. Raises DataError if the file is missing, cannot be read or is too short."""
    with reading(part.path, "restore the file"), part.path.open("rb") as file:
        if part.start:  # without a seek, a pipe can be read too
            file.seek(part.start)
        content = file.read() if part.size is None else file.read(part.size)
    if part.size is not None and len(content) != part.size:
        raise DataError(f"{part} ends early; copy the file again")
    return content


def _raw_depth(content: bytes, depth: DepthImage) -> np.ndarray:
    if depth.codec == "image":
        with Image.open(io.BytesIO(content)) as image:
            counts = np.asarray(image)
        if counts.dtype.itemsize == 1 or counts.dtype.kind not in "iu":
            raise ValueError(f"its pixels are {counts.dtype}, not 16-bit counts")
        return counts
    height, width = depth.camera.size_hw
    raw = content if depth.codec == "raw_u16" else zlib.decompress(content)
    if len(raw) != 2 * height * width:
        raise ValueError(f"it does not hold {width} x {height} depths")
    return np.frombuffer(raw, "<u2").reshape(height, width)


def _unreadable(part: FilePart, kind: str, error: Exception) -> DataError:
    reason = str(error).replace("\n", " ").replace(str(part.path), "it")
    return DataError(f"{part} cannot be read as {kind} ({reason}); restore the file")
