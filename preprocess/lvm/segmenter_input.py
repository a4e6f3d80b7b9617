"""From an image to the input of a segmentation network."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from lass3d_core.errors import DataError
from preprocess.lvm.params import SegmenterParams
from preprocess.lvm.segmenter_network import NAME, TensorSpec

_Scale = tuple[tuple[float, float, float], tuple[float, float, float]]

_SCALES: dict[str, _Scale] = {  # mean and standard deviation of red, green and blue of 0 to 255
    "0..255": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "0..1": ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "-1..1": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}
_GREY = (128, 128, 128)  # the colour around an image whose input is of bytes

Box = tuple[int, int, int, int]


class Placed(NamedTuple):
    """An input, and the box (x1, y1, x2, y2) in its pixels that holds the image."""

    tensor: np.ndarray
    box: Box


class ImageInput:
    """Makes inputs of the form `spec`. Raises DataError if that is not the form of an image."""

    def __init__(self, spec: TensorSpec, params: SegmenterParams) -> None:
        self._params, self._spec = params, spec
        if len(spec.shape) != 4 or spec.shape[0] not in (1, None) or 3 not in (spec.shape[1], spec.shape[3]):
            raise DataError(
                f"{NAME}: {params.weights} takes {spec}, and not one image of 1 x 3 x H x W or 1 x H x W x 3"
            )
        self._channels_last = spec.shape[3] == 3
        self.size_hw = _size(spec.shape[1:3] if self._channels_last else spec.shape[2:], params)
        self._scale = _scale_of(spec, params)

    def __call__(self, image: np.ndarray) -> Placed:
        """The input for an image (H,W,3) uint8 RGB."""
        box = self._box(image.shape[0], image.shape[1])
        canvas = Image.new("RGB", self.size_hw[::-1], self._around())
        size_wh = (box[2] - box[0], box[3] - box[1])
        canvas.paste(Image.fromarray(image).resize(size_wh, Image.Resampling.BILINEAR), box[:2])
        tensor = self._valued(np.asarray(canvas))
        if self._params.channels == "bgr":
            tensor = tensor[..., ::-1]
        tensor = tensor if self._channels_last else tensor.transpose(2, 0, 1)
        return Placed(np.ascontiguousarray(tensor[None]), box)

    def _box(self, height: int, width: int) -> Box:
        """Where an image of this size lies in the input."""
        rows, columns = self.size_hw
        if self._params.fit == "stretch":
            return 0, 0, columns, rows
        scale = min(rows / height, columns / width)
        high, wide = max(1, round(height * scale)), max(1, round(width * scale))
        left, top = (0, 0) if self._params.fit == "pad" else ((columns - wide) // 2, (rows - high) // 2)
        return left, top, left + wide, top + high

    def _around(self) -> tuple[int, ...]:
        """The colour around an image, which the network sees as 0, or as the middle of its bytes."""
        if self._scale is None:
            return _GREY
        return tuple(int(np.clip(np.rint(mean), 0, 255)) for mean in self._scale[0])

    def _valued(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels (h,w,3) uint8 RGB as values of the input."""
        kind = self._spec.dtype
        if self._scale is None:
            return (pixels.astype(np.int16) - 128).astype(kind) if kind == np.int8 else pixels.astype(kind)
        mean, std = self._scale
        values = (pixels - mean) / std
        if kind.kind == "f":
            return values.astype(kind)
        limits, steps = np.iinfo(kind), np.rint(values / self._spec.scale + self._spec.zero)
        return np.clip(steps, limits.min, limits.max).astype(kind)


def _size(sides: tuple[int | None, ...], params: SegmenterParams) -> tuple[int, int]:
    """The height and width of the input. Raises DataError if the manifest must say or says otherwise."""
    wanted = params.input_hw or sides
    if None in wanted:
        raise DataError(
            f"{NAME}: {params.weights} leaves the size of its input open; give `input_hw: [height, width]`"
        )
    if any(side not in (None, asked) for side, asked in zip(sides, wanted)):
        raise DataError(
            f"{NAME}: {params.weights} takes images of {sides[0] or '?'} x {sides[1] or '?'} pixels, and not "
            f"{wanted[0]} x {wanted[1]}; drop `input_hw`"
        )
    height, width = wanted
    assert height is not None and width is not None
    return height, width


def _scale_of(spec: TensorSpec, params: SegmenterParams) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean and standard deviation (3,) float32; None if the image's bytes are the values of the input."""
    is_float, is_bytes = spec.dtype.kind == "f", spec.dtype in (np.uint8, np.int8)
    if not is_float and not is_bytes:
        raise DataError(f"{NAME}: {params.weights} takes {spec}, and not floats or bytes")
    if params.pixels is not None:
        scale = _SCALES[params.pixels]
    elif params.mean is not None and params.std is not None:
        scale = params.mean, params.std
    elif is_float:
        known = ", ".join(_SCALES)
        raise DataError(
            f"{NAME}: {params.weights} takes floats; say what they are by `pixels` ({known}) or mean and std"
        )
    else:
        return None
    if is_bytes and not spec.scale:
        raise DataError(
            f"{NAME}: {params.weights} takes the bytes of an image as they are; drop `pixels`, mean and std"
        )
    return np.array(scale[0], np.float32), np.array(scale[1], np.float32)
