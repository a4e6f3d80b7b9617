"""Mixed precision: matrix products in 16 bits, everything else in float32.

Under `autocast`, convolutions and linear layers compute and return bfloat16 or float16. The exception is the
first convolution of the backbone: its inputs are coordinates, which 16 bits round to 0.25 m (bfloat16) or
0.03 m (float16) at 60 m.
`to_float32` is applied to features before they are normalised (Eq. 3), to logits, and to attention scores
before the softmax. So every norm, softmax, loss, confidence and threshold is float32. SAFM multiplies its
weights into the text rows in float32 too: three rounded products behind one another would lose a digit, and
these tables are small. The voxels are multiplied with the tables in 16 bits.
Parameters, gradients, optimiser state, running statistics and the teacher (Eq. 1) are always float32, so a
checkpoint does not depend on the precision.

bfloat16 has the range of float32, so losses need no scaling. float16 has three bits more and ends at 65 504:
for GPUs before compute capability 8.0, which have no bfloat16. Its gradients would vanish, so the losses are
scaled (`make_scaler`). An update whose gradient the scale made infinite is left out, and the scale is halved.
What holds against float32 is under test: tests/lass3d_core/compute/test_precision.py for the layers,
tests/train/test_precision.py for losses over some steps.

Use 16 bits on a GPU. On a CPU, oneDNN compiles a kernel for every new number of rows, which takes far longer
than the product. Batches differ in size, so a training step is several times slower than in float32.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.amp import GradScaler

from lass3d_core.errors import ManifestError

Precision = Literal["float32", "bfloat16", "float16"]

_HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}
_BFLOAT16_FROM = (8, 0)  # compute capability: Ampere


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The context for the forward passes of training. `float32` changes nothing."""
    return torch.autocast(device.type, _HALF.get(precision, torch.bfloat16), enabled=precision in _HALF)


def to_float32(x: Tensor) -> Tensor:
    """x as float32 if it has 16 bits, else unchanged."""
    return x.float() if x.dtype in _HALF.values() else x


def make_scaler(precision: Precision, device: torch.device) -> GradScaler | None:
    """What scales the losses of float16; None for the other precisions, which need none.

    It starts at 65 536, doubles after 2000 updates without an infinite gradient, and is part of a checkpoint.
    """
    return GradScaler(device.type) if precision == "float16" else None


def require_precision(precision: Precision, device: torch.device) -> None:
    """Raises ManifestError, in one line, if the GPU cannot compute in `precision`."""
    if device.type == "cuda":
        name, capability = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
        if why := refusal(precision, name, capability):
            raise ManifestError(why)


def refusal(precision: Precision, name: str, capability: tuple[int, int]) -> str | None:
    """Why the GPU `name` of this compute capability cannot compute in `precision`; None if it can.

    Decision: it refuses. PyTorch would emulate bfloat16 there, which is slower than float32.
    """
    if precision != "bfloat16" or capability >= _BFLOAT16_FROM:
        return None
    major, minor = capability
    return (
        f"precision=bfloat16: the {name} (compute capability {major}.{minor}) has no bfloat16; "
        "--set precision=float16"
    )
