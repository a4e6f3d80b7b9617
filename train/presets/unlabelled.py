"""How many unlabelled scans a method gets, and in which form."""

from __future__ import annotations

from train.methods import MethodConfig
from train.methods.lass3d_plus import Lass3dPlusConfig
from train.methods.supervised import SupervisedConfig


def unlabelled_scans(settings: MethodConfig, usual: int) -> int:
    """How many per micro-batch: `usual`, or none if the method does not use them."""
    return 0 if isinstance(settings, SupervisedConfig) else usual


def panoramas(settings: MethodConfig) -> bool:
    """Whether the method gets panoramas outdoors: unlabelled scans with a text on most points."""
    return isinstance(settings, Lass3dPlusConfig)
