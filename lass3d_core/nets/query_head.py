"""The head that answers queries: features of points, mapped into the space of a text encoder.

Letters: M voxels, F channels, D text dimension.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lass3d_core.compute.precision import to_float32


class QueryHead(nn.Module):
    """z = MLP(f) / |MLP(f)|: features (M,F) -> unit rows (M,D) beside the encoder's text rows."""

    def __init__(self, channels: int, hidden: int, text_dim: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, text_dim))

    def forward(self, features: Tensor) -> Tensor:
        """features (M,F) -> z (M,D) float32 of unit length; z . t is the cosine similarity to a text."""
        return F.normalize(to_float32(self.project(features)), dim=1)
