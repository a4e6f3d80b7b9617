"""The number of forward passes of a step: the cost of a step differs between methods."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


class ForwardPasses:
    """The number of passes through any backbone of a method."""

    def __init__(self) -> None:
        self.count = 0

    def add_one(self, module: nn.Module, inputs: object, output: object) -> None:
        """Hook: a backbone calls this after each pass."""
        self.count += 1


@contextmanager
def count_backbone_passes(method: nn.Module) -> Iterator[ForwardPasses]:
    """Count the passes while the block runs. A backbone is a module with `out_channels` and `levels`."""
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
