"""Join the processes that together.py or `torchrun` started: one per GPU, or several on the CPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist

# Imported before there is a process group. Its functions hold the group that exists at import as a default
# argument, and an optimiser's first step would import it. The group and its threads would then outlive
# destroy_process_group, and could abort the interpreter at exit.
import torch.distributed.nn.functional  # noqa: F401

from lass3d_core.compute.devices import device_of_process, exchange_of, take_device


@contextmanager
def process_group() -> Iterator[None]:
    """Join the group of the processes that were started together; do nothing in a single process.

    Each process takes its GPU first, if there are any: NCCL makes its communicator on the current device.
    Raises BackendUnavailable if there are fewer GPUs than processes, SystemExit if another of them ends.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    device = device_of_process()
    take_device(device)
    # Told its device, NCCL need not guess it, for barriers too; gloo takes none.
    own = device if device.type == "cuda" else None
    dist.init_process_group(exchange_of(device.type), device_id=own)
    try:
        yield
    except RuntimeError as error:
        if not any(lost in str(error) for lost in ("closed by peer", "reset by peer")):
            raise
        raise SystemExit(2) from error  # the process that ended first says why
    finally:
        dist.destroy_process_group()
