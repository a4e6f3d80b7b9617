"""Checks of the arrays in a table of text rows."""

from __future__ import annotations

import numpy as np

from lass3d_core.errors import DataError


def check_array(array: np.ndarray, name: str, shape: tuple[int, ...], dtype: type) -> None:
    """Raise DataError if `array` has another shape or dtype, or holds NaN or infinity."""
    if array.shape != shape or array.dtype != dtype:
        raise DataError(f"{name} must be {np.dtype(dtype)} {shape}, got {array.dtype} {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"{name} holds NaN or infinity")


def check_offsets(offsets: np.ndarray, captions: int, rows: int) -> None:
    """Raise DataError if caption_offsets (captions+1,) do not divide `rows` rows among the captions."""
    check_array(offsets, "caption_offsets", (captions + 1,), np.int64)
    if offsets[0] != 0 or offsets[-1] != rows or np.any(np.diff(offsets) < 1):
        raise DataError(
            "caption_offsets must start at 0, give every caption a row and end at the number of rows"
        )


def check_image_caption(image_caption: np.ndarray, images: int, captions: int) -> None:
    """Raise DataError if image_caption (images,) names a caption that does not exist."""
    check_array(image_caption, "image_caption", (images,), np.int32)
    if image_caption.size and not -1 <= image_caption.min() <= image_caption.max() < captions:
        raise DataError(f"image_caption must lie in [-1, {captions})")
