"""The fusion adapter of the teacher (Sec. 3.1). It maps features without text to features as with text."""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from lass3d_core.compute.precision import to_float32
from lass3d_core.settings import SETTINGS


@dataclass(frozen=True, config=SETTINGS)
class AdapterConfig:
    """The size of a FusionAdapter."""

    hidden: int = Field(default=128, ge=1)  # the paper says "multi-layer perceptron" and no width (Sec. 4.2)


class FusionAdapter(nn.Module):
    """f_ada = norm(f + MLP(f)). Eq. (3) trains it.

    Decision: the adapter is residual, its last layer starts at zero, and its output goes through
    `normalised`. So it starts as the identity and only has to learn what text adds.
    """

    def __init__(self, config: AdapterConfig, channels: int) -> None:
        super().__init__()
        self.enter = nn.Linear(channels, config.hidden)
        self.leave = nn.Linear(config.hidden, channels)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, f_3d: Tensor) -> Tensor:
        """f_3d (M,F), of points alone -> f_ada (M,F) float32, zero mean and unit variance per point."""
        return normalised(f_3d + self.leave(F.relu_(self.enter(f_3d))))


def normalised(features: Tensor) -> Tensor:
    """Features (M,F) with zero mean and unit variance per point: a LayerNorm without parameters, in float32.

    Decision: Eq. (3) compares softmaxes over channels. They do not change if a constant is added to all
    channels, but the classifier's result does. Normalising both sides of the comparison removes this freedom
    and fixes the scale.
    """
    return F.layer_norm(to_float32(features), features.shape[-1:])
