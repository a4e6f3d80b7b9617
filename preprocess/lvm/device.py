"""The device, the number type and the batches of a model. Only adapters import this: it imports torch."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from lass3d_core.errors import BackendUnavailable, DataError, UnknownName

Result = TypeVar("Result")


def pick_device(name: str) -> torch.device:
    """`auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:N`. Raises UnknownName, BackendUnavailable."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UnknownName(f"there is no device {name!r} (known: auto, cpu, cuda, cuda:N)")
    device, found = torch.device(name), torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= found:
        raise BackendUnavailable(
            f"device {name!r}: PyTorch sees {found} GPUs; set run.device to `auto` or `cpu`"
        )
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """`float32`, `bfloat16`, or `auto`: bfloat16 on a GPU, float32 on the CPU."""
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


class Halving:
    """Runs a function over batches of items; a batch that does not fit into the GPU is halved.

    The smaller size is kept for later batches and printed once. Every call runs in inference mode.
    """

    def __init__(self, model: str, batch: int) -> None:
        self.model, self.batch = model, batch

    @torch.inference_mode()
    def __call__(self, run: Callable[[Any], Sequence[Result]], items: Any) -> list[Result]:
        """The results of `run`, one per item, in order; it gets slices of `items`, a sequence or a tensor.

        Raises DataError if a single item does not fit.
        """
        results: list[Result] = []
        while len(results) < len(items):
            batch = items[len(results) : len(results) + self.batch]
            given = self._fitting(run, batch)
            if given is None:
                self._halve(len(batch))
                continue
            if len(given) != len(batch):
                raise DataError(f"{self.model}: {len(given)} results for a batch of {len(batch)}")
            results += given
        return results

    def _fitting(self, run: Callable[[Any], Sequence[Result]], batch: Any) -> Sequence[Result] | None:
        """The results of `run`; None if the batch does not fit."""
        # The tensors of a failed try are freed only when this function has returned.
        try:
            return run(batch)
        except torch.OutOfMemoryError:
            return None

    def _halve(self, tried: int) -> None:
        torch.cuda.empty_cache()
        if tried == 1:
            raise DataError(
                f"{self.model}: a batch of one does not fit into the GPU's memory; "
                "free some, take a smaller model, or set run.device to `cpu`"
            )
        self.batch = tried // 2
        tqdm.write(
            f"{self.model}: a batch of {tried} does not fit into the GPU's memory; going on with {self.batch}"
            f" (run.batch: {self.batch} saves the try)",
            file=sys.stderr,
        )
