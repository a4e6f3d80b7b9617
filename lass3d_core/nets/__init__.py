"""Backbones: `forward(features (M,F), pyramid) -> (M, out_channels)`, with `out_channels` and `levels`."""

from __future__ import annotations

from torch import nn

from lass3d_core.nets.range_unet import RangeUNet
from lass3d_core.nets.unet import MinkUNet, UNetConfig
from lass3d_core.sparse import load_backend


def make_backbone(config: UNetConfig, in_channels: int) -> nn.Module:
    """A freshly initialised backbone for `in_channels` input features per voxel.

    Raises UnknownName and BackendUnavailable for its sparse-convolution backend.
    """
    if config.view == "range":
        return RangeUNet(config, in_channels)
    return MinkUNet(config, in_channels, load_backend(config.backend))
