"""The MinkUNet family: a residual U-Net of sparse convolutions (Choy et al., CVPR 2019).

Letters: M voxels of a level, C channels.
"""

from __future__ import annotations

import itertools
from dataclasses import field
from types import ModuleType
from typing import Annotated, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from lass3d_core.nets.batch_norm import BatchNorm
from lass3d_core.nets.range_view import RangeImageConfig
from lass3d_core.settings import SETTINGS
from lass3d_core.sparse.maps import KernelMap, KernelPyramid

View = Literal["voxel", "range"]
Width = Annotated[int, Field(ge=1, lt=2**13)]


@dataclass(frozen=True, config=SETTINGS)
class UNetConfig:
    """Widths of the network; defaults = MinkUNet18-w32 of LaserMix's semi-supervised SemanticKITTI runs.

    The encoder halves the resolution once per entry. The decoder doubles it once per entry.
    """

    stem: Width = 32  # channels at full resolution
    encoder: tuple[Width, ...] = (32, 64, 128, 256)  # channels after each halving
    decoder: tuple[Width, ...] = (256, 128, 96, 96)  # channels after each doubling; the last is the output
    blocks: int = Field(default=2, ge=1)  # residual blocks per stage
    standardise_input: bool = False  # batch norm of the inputs first; LaserMix feeds them as they are
    backend: str = "reference"  # of lass3d_core.sparse
    view: View = "voxel"  # the network sees voxels, or a scan's range image: see range_unet.py
    image: RangeImageConfig = field(default_factory=RangeImageConfig)  # of the range view
    init: str = ""  # a model.safetensors whose backbone a run starts from; its classes may be others

    def __post_init__(self) -> None:
        if len(self.encoder) != len(self.decoder) or not self.encoder:
            raise ValueError(f"encoder and decoder need as many widths, got {self.encoder}, {self.decoder}")
        halvings, image = len(self.encoder), self.image
        if self.view == "range" and (image.height % 2**halvings or image.width % 2**halvings):
            raise ValueError(f"{image.height} x {image.width} pixels cannot be halved {halvings} times")

    @property
    def levels(self) -> int:
        """Of kernel maps, that the batch must have. The range view makes its own images from level 0."""
        return 1 if self.view == "range" else len(self.encoder) + 1


class MinkUNet(nn.Module):
    """Stem, encoder, and decoder with skip connections. It returns features of every voxel of level 0.

    ops: a backend of lass3d_core.sparse, or image_convolution.py for pixels instead of voxels.
    """

    def __init__(self, config: UNetConfig, in_channels: int, ops: ModuleType) -> None:
        super().__init__()
        self.out_channels = config.decoder[-1]
        self.levels = len(config.encoder) + 1
        self.enter = BatchNorm(in_channels, affine=False) if config.standardise_input else nn.Identity()
        self.stem = nn.ModuleList(
            _ConvNormReLU(ops.SubmanifoldConv(cin, config.stem), config.stem)
            for cin in (in_channels, config.stem)
        )
        widths = (config.stem, *config.encoder)
        halvings = itertools.pairwise(widths)
        self.encoder = nn.ModuleList(_Encode(*of_level, config.blocks, ops) for of_level in halvings)
        doublings = zip((config.encoder[-1], *config.decoder), widths[-2::-1], config.decoder)
        self.decoder = nn.ModuleList(_Decode(*of_level, config.blocks, ops) for of_level in doublings)

    def forward(self, features: Tensor, pyramid: KernelPyramid) -> Tensor:
        """features (M,in_channels) of the voxels pyramid.coords[0] -> (M,out_channels)."""
        first, second = self.stem
        of_level = list(zip(pyramid.submanifold, pyramid.first_rows))
        with torch.autocast(features.device.type, enabled=False):  # coordinates: see precision.py
            x = first(self._entered(features, pyramid.first_rows[0]), *of_level[0])
        x = second(x, *of_level[0])
        skips = []
        for level, encode in enumerate(self.encoder):
            skips.append(x)
            x = encode(x, pyramid.stride[level], *of_level[level + 1])
        for level, decode in zip(reversed(range(self.levels - 1)), self.decoder):
            x = decode(x, skips.pop(), pyramid.stride[level], *of_level[level])
        return x

    def _entered(self, features: Tensor, first: int | None) -> Tensor:
        return self.enter(features, first) if isinstance(self.enter, BatchNorm) else features


class _Encode(nn.Module):
    """Halve the resolution, then residual blocks."""

    def __init__(self, cin: int, cout: int, blocks: int, ops: ModuleType) -> None:
        super().__init__()
        self.down = _ConvNormReLU(ops.StridedConv(cin, cin), cin)
        self.blocks = _residual_blocks(cin, cout, blocks, ops)

    def forward(self, x: Tensor, stride: KernelMap, submanifold: KernelMap, first: int | None) -> Tensor:
        x = self.down(x, stride, first)
        for block in self.blocks:
            x = block(x, submanifold, first)
        return x


class _Decode(nn.Module):
    """Double the resolution, append the encoder's features of that level, then residual blocks."""

    def __init__(self, cin: int, skip: int, cout: int, blocks: int, ops: ModuleType) -> None:
        super().__init__()
        self.up = _ConvNormReLU(ops.TransposedConv(cin, cout), cout)
        self.blocks = _residual_blocks(cout + skip, cout, blocks, ops)

    def forward(
        self, x: Tensor, skip: Tensor, stride: KernelMap, submanifold: KernelMap, first: int | None
    ) -> Tensor:
        x = torch.cat([self.up(x, stride, first), skip], dim=1)
        for block in self.blocks:
            x = block(x, submanifold, first)
        return x


def _residual_blocks(cin: int, cout: int, count: int, ops: ModuleType) -> nn.ModuleList:
    return nn.ModuleList(_ResidualBlock(cin if index == 0 else cout, cout, ops) for index in range(count))


class _ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions and a shortcut, which is a linear layer if the width changes."""

    def __init__(self, cin: int, cout: int, ops: ModuleType) -> None:
        super().__init__()
        self.first = _ConvNormReLU(ops.SubmanifoldConv(cin, cout), cout)
        self.second = ops.SubmanifoldConv(cout, cout)
        self.norm = BatchNorm(cout)
        self.shortcut = nn.Identity() if cin == cout else _Shortcut(cin, cout)

    def forward(self, x: Tensor, submanifold: KernelMap, first: int | None) -> Tensor:
        y = self.norm(self.second(self.first(x, submanifold, first), submanifold), first)
        beside = self.shortcut(x, first) if isinstance(self.shortcut, _Shortcut) else x
        return torch.relu_(y + beside)


class _Shortcut(nn.Sequential):
    """A linear layer, batch norm."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__(nn.Linear(cin, cout, bias=False), BatchNorm(cout))

    def forward(self, x: Tensor, first: int | None = None) -> Tensor:
        linear, norm = self
        normalised: Tensor = norm(linear(x), first)
        return normalised


class _ConvNormReLU(nn.Module):
    """A convolution, batch norm, ReLU."""

    def __init__(self, conv: nn.Module, width: int) -> None:
        super().__init__()
        self.conv = conv
        self.norm = BatchNorm(width)

    def forward(self, x: Tensor, pairs: KernelMap, first: int | None) -> Tensor:
        return torch.relu_(self.norm(self.conv(x, pairs), first))
