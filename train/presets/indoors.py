"""What a method needs to know of rooms."""

from __future__ import annotations

from dataclasses import replace

from train.methods import MethodConfig
from train.methods.gpc import GpcConfig


def indoors(settings: MethodConfig) -> MethodConfig:
    """Crops are windows of the floor plan: there is no sensor in the middle to cut fans about."""
    return replace(settings, crop="window") if isinstance(settings, GpcConfig) else settings
