"""Several training runs at a time, each in a fresh process of one thread."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from multiprocessing.synchronize import RLock
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

from lass3d_core.compute.devices import take_device
from lass3d_core.compute.shared_memory import SHARED_MEMORY
from lass3d_core.files.atomic import storage_errors
from lass3d_core.manifest.schema import DatasetSpec
from lass3d_core.pool import OnProgress, Work, run_tasks
from lass3d_core.progress.bars import draw_in_row
from lass3d_core.signals import Interrupted
from train.config import RunConfig
from train.data.paired_scans import PairedScans
from train.runs.run import Run
from train.runs.run_folder import RunFolder
from train.runs.train_run import train_run


@dataclass(frozen=True)
class PlannedRun:
    """A run to be made, in a form that travels to another process. title: what people call it."""

    title: str
    config: RunConfig
    artifacts: Path
    spec: DatasetSpec
    folder: Path

    def open(self, device: str = "cpu", pairs: PairedScans | None = None) -> Run:
        """Open the run and its data, or use `pairs`. Raises as PairedScans.open and Run.of do."""
        opened = pairs or PairedScans.open(self.artifacts)
        return Run.of(self.config, opened, self.spec, RunFolder(self.folder), torch.device(device))


class Outcome(NamedTuple):
    """A run that has ended."""

    plan: PlannedRun
    error: str | None  # why it failed, in one line


class _Slot(NamedTuple):
    """Where one of the runs side by side works."""

    line: int  # of the terminal, for its progress bar
    device: str


def outcomes(
    plans: Sequence[PlannedRun], at_most: int, devices: Sequence[str] = ("cpu",)
) -> Generator[Outcome, None, None]:
    """Train every plan, `at_most` at a time, and yield each outcome as it comes.

    The runs that go on together take `devices` in turn. A run that was interrupted before is resumed.
    If the caller closes the generator, or on a signal, the runs save and end; they can be resumed.
    """
    slots = [_Slot(line, devices[line % len(devices)]) for line in range(max(at_most, 1))]
    with storage_errors(SHARED_MEMORY):
        terminal = multiprocessing.get_context("spawn").RLock()
    load = partial(_load, terminal)
    with closing(run_tasks(load, plans, slots, one_thread=True, fresh=True)) as ended:
        for finished in ended:
            yield Outcome(finished.task, None if finished.error is None else str(finished.error))


def every_device() -> tuple[str, ...]:
    """Every GPU, or the CPU if there is none."""
    return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count())) or ("cpu",)


def max_parallel(devices: Sequence[str]) -> int:
    """How many runs go on at a time: one per GPU, or one per core that this process may use."""
    return len(devices) if "cpu" not in devices else len(os.sched_getaffinity(0))


def _load(terminal: RLock, slot: _Slot) -> Work[PlannedRun, None]:
    torch.set_num_threads(1)
    take_device(torch.device(slot.device))
    tqdm.set_lock(terminal)
    draw_in_row(slot.line)

    def train(plan: PlannedRun, on_progress: OnProgress) -> None:
        try:
            train_run(plan.open(slot.device), resume=True)
        except Interrupted as stop:
            tqdm.write(f"{plan.folder.name}: {stop.kept}", file=sys.stderr)
            raise

    return train
