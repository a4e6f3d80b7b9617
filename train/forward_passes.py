"""How many forward passes a step takes, so that methods are not compared as if a step cost each the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


class ForwardPasses:
    """A count of the passes through any backbone of a method."""

    def __init__(self) -> None:
        self.count = 0

    def add_one(self, module: nn.Module, inputs: object, output: object) -> None:
        """Called by a backbone after each of its passes."""
        self.count += 1


@contextmanager
def count_backbone_passes(method: nn.Module) -> Iterator[ForwardPasses]:
    """Count while the block runs. A backbone has `out_channels` and `levels`, see lass3d_core.nets."""
    passes = ForwardPasses()
    handles = [
        module.register_forward_hook(passes.add_one)
        for module in method.modules()
        if hasattr(module, "out_channels") and hasattr(module, "levels")
    ]
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()
