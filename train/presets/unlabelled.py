"""How many unlabelled scans a method is given."""

from __future__ import annotations

from train.methods import MethodConfig
from train.methods.supervised import SupervisedConfig


def unlabelled_scans(settings: MethodConfig, usual: int) -> int:
    """Per micro-batch: `usual`, but none for a method that does not look at them."""
    return 0 if isinstance(settings, SupervisedConfig) else usual
