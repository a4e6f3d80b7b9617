"""Mixed precision: matrix products in bfloat16, everything that is compared or added up over time in float32.

Under `autocast` convolutions and linear maps compute in bfloat16 and hand bfloat16 on, but for the backbone's
first convolution: it sees coordinates, which bfloat16 would round to a quarter of a metre 60 m away. Features
that are `normalised` (Eq. 3), logits, and attention scores before their softmax pass through `to_float32`.
So every norm, softmax, loss, confidence and threshold is float32. Parameters, gradients, optimiser state,
running statistics and the teacher (Eq. 1) are always float32: a checkpoint is the same for every precision.
It is for a GPU. On a CPU oneDNN compiles a kernel for every new number of rows, which takes far longer than
the product: a training step, whose batches all differ in size, is several times slower than in float32.
Decision: bfloat16 and not float16. It has the range of float32, so that losses need no scaling.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Precision = Literal["float32", "bfloat16"]


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The context that forward passes of training run in; `float32` changes nothing."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def to_float32(x: Tensor) -> Tensor:
    """x in float32 where it is bfloat16, and as it is otherwise."""
    return x.float() if x.dtype == torch.bfloat16 else x
