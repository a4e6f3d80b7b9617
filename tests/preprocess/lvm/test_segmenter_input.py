"""From an image to the input of a network: its size, its place, its values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lass3d_core.errors import DataError
from preprocess.lvm.params import SegmenterParams
from preprocess.lvm.segmenter_input import ImageInput
from preprocess.lvm.segmenter_network import TensorSpec

BYTES = TensorSpec((1, 20, 40, 3), np.dtype(np.uint8))
FLOATS = TensorSpec((1, 3, 20, 40), np.dtype(np.float32))
IMAGE = np.full((10, 40, 3), (10, 100, 250), np.uint8)


def made(spec: TensorSpec, **params: Any) -> ImageInput:
    return ImageInput(spec, SegmenterParams("street.onnx", "cityscapes", **params))


@pytest.mark.parametrize(
    ("fit", "size_hw", "box"),
    [
        ("stretch", (10, 40), (0, 0, 40, 20)),
        ("letterbox", (10, 40), (0, 5, 40, 15)),
        ("pad", (10, 40), (0, 0, 40, 10)),
        ("letterbox", (40, 40), (10, 0, 30, 20)),
        ("pad", (40, 40), (0, 0, 20, 20)),
    ],
)
def test_an_image_lies_in_the_input_where_fit_says(
    fit: Any, size_hw: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    placed = made(BYTES, fit=fit)(np.full((*size_hw, 3), 7, np.uint8))
    left, top, right, bottom = box
    assert placed.box == box and (placed.tensor[0, top:bottom, left:right] == 7).all()
    around = np.ones(placed.tensor.shape[1:3], bool)
    around[top:bottom, left:right] = False
    assert (placed.tensor[0][around] == 128).all()


@pytest.mark.parametrize(
    ("params", "values"),
    [
        ({"pixels": "0..1"}, (10 / 255, 100 / 255, 250 / 255)),
        ({"pixels": "0..255"}, (10, 100, 250)),
        ({"pixels": "-1..1"}, (10 / 127.5 - 1, 100 / 127.5 - 1, 250 / 127.5 - 1)),
        (
            {"pixels": "imagenet"},
            ((10 - 123.675) / 58.395, (100 - 116.28) / 57.12, (250 - 103.53) / 57.375),
        ),
        ({"mean": (10.0, 90.0, 250.0), "std": (1.0, 2.0, 4.0)}, (0, 5, 0)),
        ({"pixels": "0..255", "channels": "bgr"}, (250, 100, 10)),
    ],
)
def test_floats_are_what_pixels_says_in_the_layout_of_the_network(
    params: dict[str, Any], values: tuple[float, ...]
) -> None:
    first = made(FLOATS, **params)(IMAGE).tensor
    assert (first.shape, first.dtype) == (FLOATS.shape, np.float32) and first.flags.c_contiguous
    assert np.allclose(first, np.reshape(values, (1, 3, 1, 1)), atol=1e-5)
    last = made(TensorSpec((1, 20, 40, 3), np.dtype(np.float16)), **params)(IMAGE).tensor
    assert last.dtype == np.float16 and np.allclose(last, values, atol=0.1)


def test_what_lies_around_an_image_is_zero_for_a_network_of_floats() -> None:
    around = made(FLOATS, pixels="imagenet", fit="pad")(IMAGE).tensor[0, :, 10:]
    assert np.abs(around).max() < 0.01


@pytest.mark.parametrize(
    ("spec", "params", "values"),
    [
        (BYTES, {}, (10, 100, 250)),
        (TensorSpec((1, 20, 40, 3), np.dtype(np.uint8), 1 / 128, 128), {}, (10, 100, 250)),
        (TensorSpec((1, 20, 40, 3), np.dtype(np.int8), 1 / 128, 0), {}, (-118, -28, 122)),
        (TensorSpec((1, 20, 40, 3), np.dtype(np.int8), 1 / 64, -3), {"pixels": "-1..1"}, (-62, -17, 58)),
        (TensorSpec((1, 20, 40, 3), np.dtype(np.uint8), 0.5, 9), {"pixels": "0..255"}, (29, 209, 255)),
    ],
)
def test_bytes_are_the_pixels_themselves_or_the_steps_of_the_file(
    spec: TensorSpec, params: dict[str, Any], values: tuple[int, ...]
) -> None:
    tensor = made(spec, **params)(IMAGE).tensor
    assert tensor.dtype == spec.dtype and (tensor == np.array(values)).all()


def test_an_open_size_is_the_one_of_the_manifest() -> None:
    free = TensorSpec((None, 3, None, None), np.dtype(np.float32))
    assert made(free, pixels="0..1", input_hw=(32, 64))(IMAGE).tensor.shape == (1, 3, 32, 64)
    half = TensorSpec((1, None, 64, 3), np.dtype(np.uint8))
    assert made(half, input_hw=(32, 64)).size_hw == (32, 64)


@pytest.mark.parametrize(
    ("shape", "dtype", "params", "words"),
    [
        (
            (1, 3, None, None),
            "float32",
            {"pixels": "0..1"},
            "leaves the size of its input open; give `input_hw",
        ),
        (
            (1, 3, 20, None),
            "float32",
            {"pixels": "0..1"},
            "leaves the size of its input open; give `input_hw",
        ),
        (
            (1, 3, 20, 40),
            "float32",
            {"pixels": "0..1", "input_hw": (20, 41)},
            "20 x 40 pixels, and not 20 x 41",
        ),
        (
            (1, 3, 20, None),
            "float32",
            {"pixels": "0..1", "input_hw": (9, 9)},
            r"20 x \? pixels, and not 9 x 9",
        ),
        (
            (4, 3, 20, 40),
            "float32",
            {"pixels": "0..1"},
            "takes 4 x 3 x 20 x 40 of float32, and not one image",
        ),
        ((1, 1, 20, 40), "float32", {"pixels": "0..1"}, "and not one image"),
        ((1, 20, 40, 4), "uint8", {}, "and not one image"),
        ((3, 20, 40), "uint8", {}, "and not one image"),
        ((1, 3, 20, 40), "float32", {}, "takes floats; say what they are by `pixels`"),
        ((1, 3, 20, 40), "uint8", {"pixels": "0..1"}, "takes the bytes of an image as they are; drop"),
        ((1, 3, 20, 40), "int64", {}, "and not floats or bytes"),
    ],
)
def test_an_input_that_is_no_image_is_refused(
    shape: tuple[int | None, ...], dtype: str, params: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError, match=rf"segmenter: street\.onnx .*{words}"):
        made(TensorSpec(shape, np.dtype(dtype)), **params)


@pytest.mark.parametrize(
    "params", [{"mean": (1.0, 1.0, 1.0)}, {"mean": (0.0,) * 3, "std": (1.0,) * 3, "pixels": "0..1"}]
)
def test_a_scale_that_is_half_given_or_given_twice_is_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="mean"):
        made(FLOATS, **params)
