"""What changes in a recipe with the method."""

from __future__ import annotations

from dataclasses import replace

from train.methods import MethodConfig
from train.methods.gpc import GpcConfig
from train.methods.lass3d_plus import Lass3dPlusConfig
from train.methods.supervised import SupervisedConfig


def unlabelled_scans(settings: MethodConfig, usual: int) -> int:
    """How many per micro-batch: `usual`, or none if the method does not use them."""
    return 0 if isinstance(settings, SupervisedConfig) else usual


def panoramas(settings: MethodConfig) -> bool:
    """Whether the method gets panoramas outdoors: unlabelled scans with a text on most points."""
    return isinstance(settings, Lass3dPlusConfig)


def indoors(settings: MethodConfig) -> MethodConfig:
    """The method's settings for rooms."""
    # Crops are windows of the floor plan: a room has no sensor in its middle about which fans could be cut.
    return replace(settings, crop="window") if isinstance(settings, GpcConfig) else settings
