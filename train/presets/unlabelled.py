"""How many unlabelled scans a method is given, and in which form."""

from __future__ import annotations

from train.methods import MethodConfig
from train.methods.lass3d_plus import Lass3dPlusConfig
from train.methods.supervised import SupervisedConfig


def unlabelled_scans(settings: MethodConfig, usual: int) -> int:
    """Per micro-batch: `usual`, but none for a method that does not look at them."""
    return 0 if isinstance(settings, SupervisedConfig) else usual


def panoramas(settings: MethodConfig) -> bool:
    """Outdoors: whether the method wants its unlabelled scans full of text."""
    return isinstance(settings, Lass3dPlusConfig)
