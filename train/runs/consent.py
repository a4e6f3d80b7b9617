"""A published recipe takes weeks on a CPU. It starts there only with consent; nothing waits for an answer."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from lass3d_core.errors import Lass3dError
from lass3d_core.progress.lines import duration
from train.presets import is_published
from train.runs.checkpoint import checkpoints
from train.runs.layers import BatchSize, multiplications
from train.runs.memory import graphs
from train.runs.run import Run
from train.runs.start_line import expected_seconds, largest_batch

LONG = 10_000
"""Steps from which a published recipe wants consent on a CPU. They have 25 000 and more;
--set may take fewer.

Decision: who sets so many steps for a short preset has said it already.
"""

_PASSES = 3  # a pass with a gradient has three times the products of one without
_ROWS, _WIDTH, _ROUNDS = 4096, 128, 20  # of the product that is timed: a middle layer of MinkUNet18


def require_consent(runs: Sequence[Run], yes: bool, shorter: str) -> None:
    """Raise Lass3dError if one of `runs` is long, is on a CPU, has not begun, and `yes` is false.

    shorter: the preset that fits a CPU.
    """
    long = [run for run in runs if _is_long(run)]
    if yes or not long:
        return
    config = long[0].config
    raise Lass3dError(
        f"PRESET={config.preset} takes {config.schedule.steps} steps and PyTorch sees no GPU: on this CPU a "
        f"run would take {_how_long(long[0])}; PRESET={shorter} takes minutes; YES=1 (--yes) trains it here "
        "all the same"
    )


def _is_long(run: Run) -> bool:
    if run.device.type != "cpu" or checkpoints(run.folder.checkpoints):
        return False
    return is_published(run.config.preset) and run.config.schedule.steps >= LONG


def _how_long(run: Run) -> str:
    """From earlier runs, or at least what the matrix products alone take."""
    seconds = expected_seconds(run)
    if seconds is not None:
        return f"about {duration(seconds)}"
    return f"{duration(least_seconds(run, largest_batch(run)))} or more"


def least_seconds(run: Run, size: BatchSize) -> float:
    """How long the products of the students' passes take, if they are as fast as dense ones here."""
    config = run.config
    passes = _PASSES * graphs(config) * config.data.accumulate * config.schedule.steps
    return passes * multiplications(config.net, size) / multiplications_per_second()


def multiplications_per_second() -> float:
    """Of dense float32 products, measured on this CPU with the threads that training has."""
    a, b = torch.ones(_ROWS, _WIDTH), torch.ones(_WIDTH, _WIDTH)
    out = a @ b
    seconds = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        torch.mm(a, b, out=out)
        seconds.append(time.perf_counter() - started)
    return _ROWS * _WIDTH * _WIDTH / min(seconds)
