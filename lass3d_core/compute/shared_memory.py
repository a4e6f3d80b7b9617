"""Whether the batches of a loader's workers fit into shared memory, through which they travel."""

from __future__ import annotations

import shutil
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")

BATCHES_AHEAD = 2
"""Batches that each worker builds ahead; PyTorch's default."""

WAYS_OUT = (
    "give it more (docker run --shm-size=8g, or --ipc=host), or set data.workers=0 (--set), which builds "
    "the batches in the training process"
)


def shortage(batch_bytes: int, workers: int) -> str | None:
    """What is wrong and what to do, in one line, if `workers` fill the shared memory; None if they do not.

    batch_bytes: size of the tensors of one batch. A system without /dev/shm shares its memory otherwise.
    """
    if not workers or not SHARED_MEMORY.is_dir():
        return None
    free, needed = shutil.disk_usage(SHARED_MEMORY).free, batch_bytes * workers * BATCHES_AHEAD
    if needed <= free:
        return None
    return (
        f"{SHARED_MEMORY} has {_size(free)} free, and {workers} workers of data.workers need about "
        f"{_size(needed)} (batches of {_size(batch_bytes)}, {BATCHES_AHEAD} ahead each); {WAYS_OUT}"
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"
