"""Noise of its own for student and teacher: their agreement then says more than that both see one cloud."""

from __future__ import annotations

import torch
from torch import Tensor


def noisy(features: Tensor, noise: float) -> Tensor:
    """The features (M,F) with Gaussian noise, another draw at every call; with noise 0 the very features.

    noise: standard deviation. x, y and z, the first three features, are shifted by it in metres. The others
    are multiplied by 1 + it: 0.05 is 5 cm and 5 %.
    Decision: the others are noised too. A network looks at coordinates over tens of metres, so some
    centimetres alone are hardly seen. They are noised by a share: the units of intensity and colour differ
    between data sets, and a share has none. So 0, nothing measured, stays 0.
    Decision: the voxels stay where they are. Student and teacher answer for the same voxels, row by row, and
    share the kernel maps. In the range view, which is drawn from x, y and z, some fall into another pixel.
    The draws come from torch's generator, which the training loop seeds in every step.
    """
    if not noise:
        return features
    draw = noise * torch.randn_like(features)
    return torch.cat([features[:, :3] + draw[:, :3], features[:, 3:] * (1 + draw[:, 3:])], dim=1)
