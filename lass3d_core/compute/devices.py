"""Which device a process computes on, and what follows from it.

A process has one device. It makes it the current one before anything touches a GPU: pinned memory, the sparse
backends and NCCL take the current device, which would be the first GPU in every process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lass3d_core.errors import BackendUnavailable

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def device_of_process() -> torch.device:
    """The device of this process, one of several that train together: its own GPU, or the CPU.

    Raises BackendUnavailable if there are fewer GPUs than processes on this machine.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    place, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if place >= gpus:
        raise BackendUnavailable(
            f"process {place} of this machine needs a GPU of its own, and there are {gpus}; start fewer "
            "processes, or look at CUDA_VISIBLE_DEVICES"
        )
    return torch.device("cuda", place)


def take_device(device: torch.device) -> None:
    """Make `device` the current one of this process. A CPU needs nothing."""
    if device.type == "cuda":
        torch.cuda.set_device(device)


def exchange_of(device_type: str) -> str:
    """The backend of torch.distributed by which processes on such devices exchange tensors."""
    return "nccl" if device_type == "cuda" else "gloo"


def has_sync_batch_norm(device_type: str) -> bool:
    """Whether PyTorch's SyncBatchNorm runs on such a device."""
    return device_type == "cuda"


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Inside the block, only algorithms that give the same bits every time; nothing changes if not `wanted`.

    The price on a GPU is not measured. On a CPU training is repeatable to the bit without it.
    Raises BackendUnavailable if an operation has no such algorithm.
    """
    if not wanted:
        yield
        return
    workspace, before = os.environ.get(_WORKSPACE), torch.are_deterministic_algorithms_enabled()
    # cuBLAS reads it when its first handle is made, which is later. Buffers of a fixed size, here eight of
    # 4096 KiB, keep the order of its sums.
    os.environ.setdefault(_WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=False)
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        what = str(error).split(", but you set")[0].splitlines()[0]
        raise BackendUnavailable(f"{what}; leave out deterministic=true (--set)") from error
    finally:
        torch.use_deterministic_algorithms(before)
        if workspace is None:
            del os.environ[_WORKSPACE]
