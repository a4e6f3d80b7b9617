"""The operations of a sparse backend on images, so that MinkUNet runs on pixels as on voxels.

Features x (P,C) have one row per pixel, row by row, image after image. An image is a ring: the last column
is next to the first. Beyond its top and bottom there are zeros.
Letters: S images, H rows, W columns, P = S * H * W pixels, C channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Images(NamedTuple):
    """The number of images, one per scan, and their size. It takes the place of a KernelMap."""

    scans: int
    height: int
    width: int


@dataclass(frozen=True)
class ImagePyramid:
    """The part of a KernelPyramid that a U-Net reads: the maps of every level."""

    submanifold: tuple[Images, ...]
    stride: tuple[Images, ...]

    @classmethod
    def of(cls, images: Images, levels: int) -> ImagePyramid:
        """`levels` levels, each with half the rows and columns of the last. They must halve evenly."""
        sizes = tuple(
            Images(images.scans, images.height >> level, images.width >> level) for level in range(levels)
        )
        return cls(sizes, sizes[:-1])


class SubmanifoldConv(nn.Module):
    """3x3 convolution, stride 1."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 3, padding=(1, 0), bias=False)
        _initialise(self.conv.weight, 9 * cin)

    def forward(self, x: Tensor, images: Images) -> Tensor:
        """x (P,cin) of `images` -> (P,cout)."""
        flat = _images(x, images)
        ring = torch.cat([flat[..., -1:], flat, flat[..., :1]], dim=-1)
        return _rows(self.conv(ring))


class StridedConv(nn.Module):
    """2x2 convolution, stride 2, onto the next coarser level."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 2, stride=2, bias=False)
        _initialise(self.conv.weight, 4 * cin)

    def forward(self, x: Tensor, images: Images) -> Tensor:
        """x (P,cin) of `images` -> (P/4,cout)."""
        return _rows(self.conv(_images(x, images)))


class TransposedConv(nn.Module):
    """2x2 transposed convolution, stride 2, back to the finer level."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(cin, cout, 2, stride=2, bias=False)
        _initialise(self.conv.weight, cin)

    def forward(self, x: Tensor, images: Images) -> Tensor:
        """x (P/4,cin) of the coarser level -> (P,cout) of `images`."""
        return _rows(self.conv(_images(x, Images(images.scans, images.height // 2, images.width // 2))))


def _initialise(weight: Tensor, fan_in: int) -> None:
    """Kaiming normal for ReLU, as in the sparse convolutions. fan_in: number of inputs of an output."""
    nn.init.normal_(weight, std=math.sqrt(2 / fan_in))


def _images(x: Tensor, images: Images) -> Tensor:
    """x (P,C) as (S,C,H,W): the same memory, channels last."""
    return x.view(*images, x.shape[1]).permute(0, 3, 1, 2)


def _rows(x: Tensor) -> Tensor:
    """x (S,C,H,W) as (P,C)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
