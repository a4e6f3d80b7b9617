"""What changes in a method's settings indoors."""

from __future__ import annotations

from dataclasses import replace

from train.methods import MethodConfig
from train.methods.gpc import GpcConfig


def indoors(settings: MethodConfig) -> MethodConfig:
    """The method's settings for rooms."""
    # Crops are windows of the floor plan: a room has no sensor in its middle about which fans could be cut.
    return replace(settings, crop="window") if isinstance(settings, GpcConfig) else settings
