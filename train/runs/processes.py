"""Joining the processes that `torchrun` started: one per GPU, or several on the CPU.

Decision: `torch.distributed.nn` is imported here, before there is a group. Its functions take the group that
there is when they are imported as a default argument, and an optimiser's first step imports it: it would keep
the group and its threads past `destroy_process_group`. A thread that lets go of its last tensor while the
interpreter ends aborts the process, after all its work was done.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
import torch.distributed.nn.functional


@contextmanager
def process_group() -> Iterator[None]:
    """Join the process group that torchrun started; outside torchrun do nothing."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()
