"""Backbones: `forward(features (M,F), pyramid) -> (M,out_channels)`.

Attributes: `out_channels`, and `levels`, the number of levels of the pyramid that `forward` needs.
"""

from __future__ import annotations

from torch import nn

from lass3d_core.nets.range_unet import RangeUNet
from lass3d_core.nets.unet import MinkUNet, UNetConfig
from lass3d_core.sparse import load_backend


def make_backbone(config: UNetConfig, in_channels: int) -> nn.Module:
    """A freshly initialised backbone. Raises UnknownName and BackendUnavailable for the sparse backend."""
    if config.view == "range":
        return RangeUNet(config, in_channels)
    return MinkUNet(config, in_channels, load_backend(config.backend))
