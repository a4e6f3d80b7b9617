"""Mixed precision: matrix products in bfloat16, everything else in float32.

Under `autocast`, convolutions and linear layers compute and return bfloat16. The exception is the first
convolution of the backbone: its inputs are coordinates, which bfloat16 rounds to 0.25 m at 60 m.
`to_float32` is applied to features before they are normalised (Eq. 3), to logits, and to attention scores
before the softmax. So every norm, softmax, loss, confidence and threshold is float32.
Parameters, gradients, optimiser state, running statistics and the teacher (Eq. 1) are always float32, so a
checkpoint does not depend on the precision.

Use it on a GPU. On a CPU, oneDNN compiles a kernel for every new number of rows, which takes far longer than
the product. Batches differ in size, so a training step is several times slower than in float32.

Decision: bfloat16, not float16. It has the range of float32, so losses need no scaling.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Precision = Literal["float32", "bfloat16"]


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The context for the forward passes of training. `float32` changes nothing."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def to_float32(x: Tensor) -> Tensor:
    """x as float32 if it is bfloat16, else unchanged."""
    return x.float() if x.dtype == torch.bfloat16 else x
