from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lass3d_core.nets.image_convolution import (
    ImagePyramid,
    Images,
    StridedConv,
    SubmanifoldConv,
    TransposedConv,
)

IMAGES = Images(2, 4, 6)


def pixels(channels: int, images: Images = IMAGES) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(images.scans * images.height * images.width, channels, generator=generator)


def test_convolution_reaches_round_the_ring_and_not_beyond_top_and_bottom() -> None:
    conv = SubmanifoldConv(3, 5)
    x = pixels(3)
    found = conv(x, IMAGES).view(*IMAGES, 5)
    image, weight = x.view(*IMAGES, 3), conv.conv.weight
    for row in range(4):
        for column in range(6):
            expected = torch.zeros(2, 5)
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    if 0 <= row + down < 4:
                        there = image[:, row + down, (column + right) % 6]
                        expected += there @ weight[:, :, down + 1, right + 1].T
            torch.testing.assert_close(found[:, row, column], expected)


def test_a_pixel_of_a_strided_convolution_sees_four() -> None:
    conv = StridedConv(3, 5)
    x = pixels(3)
    found = conv(x, IMAGES).view(2, 2, 3, 5)
    four = x.view(2, 2, 2, 3, 2, 3)[:, 1, :, 2]  # (image, down, right, channel) of the last pixel
    expected = torch.einsum("idrc,ocdr->io", four, conv.conv.weight)
    torch.testing.assert_close(found[:, 1, 2], expected)


def test_a_transposed_convolution_spreads_a_pixel_over_four() -> None:
    conv = TransposedConv(3, 5)
    x = pixels(3, Images(2, 2, 3))
    found = conv(x, IMAGES).view(2, 2, 2, 3, 2, 5)[:, 1, :, 2]
    expected = torch.einsum("ic,codr->idro", x.view(2, 2, 3, 3)[:, 1, 2], conv.conv.weight)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("operation", "seen"), [(SubmanifoldConv, 9), (StridedConv, 4), (TransposedConv, 1)])
def test_fresh_weights_keep_the_scale_of_what_a_relu_leaves(operation: type, seen: int) -> None:
    """Kaiming: a variance of 2 over the number of inputs of an output."""
    torch.manual_seed(0)
    weight = operation(64, 64).conv.weight.detach()
    assert float(weight.var()) == pytest.approx(2 / (64 * seen), rel=0.05)


def test_levels_halve_rows_and_columns() -> None:
    pyramid = ImagePyramid.of(Images(3, 8, 16), 3)
    assert pyramid.submanifold == (Images(3, 8, 16), Images(3, 4, 8), Images(3, 2, 4))
    assert pyramid.stride == pyramid.submanifold[:2]
