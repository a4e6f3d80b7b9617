"""The operations of a sparse backend on images, so that MinkUNet runs on pixels as on voxels.

Features x (P,C) have one row per pixel, row by row, image after image. An image is a ring: the last column
is next to the first. Beyond its top and bottom there are zeros.
Letters: S images, H rows, W columns, P = S * H * W pixels, C channels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Images(NamedTuple):
    """The number of images, one per scan, and their size. It takes the place of a KernelMap."""

    scans: int
    height: int
    width: int

    def halved(self, times: int) -> Images:
        """The images with their rows and columns halved `times` times."""
        return Images(self.scans, self.height >> times, self.width >> times)


class ImagePyramid(NamedTuple):
    """The part of a KernelPyramid that a U-Net reads."""

    submanifold: tuple[Images, ...]
    stride: tuple[Images, ...]
    first_rows: tuple[int | None, ...]

    @classmethod
    def of(cls, images: Images, levels: int, first_images: int | None = None) -> ImagePyramid:
        """`levels` levels, each with half the rows and columns of the last. They must halve evenly.

        first_images: how many images batch norm keeps apart from the rest; None: all share their statistics.
        """
        sizes = tuple(images.halved(level) for level in range(levels))
        first = (None if first_images is None else first_images * one.height * one.width for one in sizes)
        return cls(sizes, sizes[:-1], tuple(first))


class _Convolution(nn.Module):
    """A convolution of rows. inputs: number of inputs of an output."""

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d, inputs: int) -> None:
        super().__init__()
        self.conv = conv
        # Kaiming normal for ReLU, as in the sparse convolutions.
        nn.init.normal_(self.conv.weight, std=math.sqrt(2 / inputs))

    def forward(self, x: Tensor, images: Images) -> Tensor:
        """x (P,cin) of `images` -> (P',cout) of the images after the convolution."""
        pixels = x.view(*images, x.shape[1]).permute(0, 3, 1, 2)  # (S,C,H,W): the same memory, channels last
        return self.convolved(pixels).permute(0, 2, 3, 1).reshape(-1, self.conv.out_channels)

    def convolved(self, pixels: Tensor) -> Tensor:
        return self.conv(pixels)


class SubmanifoldConv(_Convolution):
    """3x3 convolution, stride 1."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__(nn.Conv2d(cin, cout, 3, padding=(1, 0), bias=False), 9 * cin)

    def convolved(self, pixels: Tensor) -> Tensor:
        return self.conv(torch.cat([pixels[..., -1:], pixels, pixels[..., :1]], dim=-1))


class StridedConv(_Convolution):
    """2x2 convolution, stride 2, onto the next coarser level."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__(nn.Conv2d(cin, cout, 2, stride=2, bias=False), 4 * cin)


class TransposedConv(_Convolution):
    """2x2 transposed convolution, stride 2, from the coarser level of `images` back to `images`."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__(nn.ConvTranspose2d(cin, cout, 2, stride=2, bias=False), cin)

    def forward(self, x: Tensor, images: Images) -> Tensor:
        return super().forward(x, images.halved(1))
