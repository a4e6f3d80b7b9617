"""Several runs at a time, each in a fresh process of one thread."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import RLock
from pathlib import Path

import torch
from tqdm import tqdm

from lass3d_core.errors import Lass3dError
from lass3d_core.manifest.schema import DatasetSpec
from train.config import RunConfig
from train.data.paired_scans import PairedScans
from train.runs.progress import draw_in_row
from train.runs.run import Run, train_run
from train.runs.run_folder import RunFolder


@dataclass(frozen=True)
class PlannedRun:
    """A run to be made, in a form that travels to another process. title: what people call it."""

    title: str
    config: RunConfig
    artifacts: Path
    spec: DatasetSpec
    folder: Path

    def open(self, device: str = "cpu", pairs: PairedScans | None = None) -> Run:
        """The run, its data opened, or seen through `pairs`. Raises as PairedScans.open and Run.of do."""
        opened = pairs or PairedScans.open(self.artifacts)
        return Run.of(self.config, opened, self.spec, RunFolder(self.folder), torch.device(device))


@dataclass(frozen=True)
class Outcome:
    """A run that has ended. error: why it failed, in one line; None where it did not."""

    plan: PlannedRun
    error: str | None


def outcomes(
    plans: Sequence[PlannedRun], at_most: int, devices: Sequence[str] = ("cpu",)
) -> Iterator[Outcome]:
    """Train every plan, `at_most` at a time, the places taking `devices` in turn; each outcome as it comes.

    Unfinished runs go on. Where the caller stops early, or on Ctrl-C, the runs that are under way are ended,
    to go on another time.
    """
    context = multiprocessing.get_context("spawn")
    lock = context.RLock()
    waiting = list(plans)
    places = list(range(max(at_most, 1)))
    running: list[_Running] = []
    try:
        while waiting or running:
            while waiting and places:
                place, plan = places.pop(0), waiting.pop(0)
                listening, telling = context.Pipe(duplex=False)
                arguments = (plan, devices[place % len(devices)], place, lock, telling)
                process = context.Process(target=_train_one, args=arguments)
                process.start()
                telling.close()
                running.append(_Running(plan, process, listening, place))
            wait([one.process.sentinel for one in running])
            for one in [one for one in running if not one.process.is_alive()]:
                running.remove(one)
                places.append(one.place)
                yield Outcome(one.plan, one.error())
    finally:
        for one in running:
            one.process.terminate()
            one.process.join()


def every_device() -> tuple[str, ...]:
    """Each GPU, or the processor where there is none."""
    return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count())) or ("cpu",)


def max_parallel(devices: Sequence[str]) -> int:
    """How many runs go on at a time: one per GPU, or one per core that this process may use."""
    return len(devices) if "cpu" not in devices else len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class _Running:
    """A run under way. place: which of the places side by side it has, and so which line of the terminal."""

    plan: PlannedRun
    process: SpawnProcess
    told: Connection
    place: int

    def error(self) -> str | None:
        """Why the ended process failed; None where it did not."""
        self.process.join()
        status = self.process.exitcode
        with self.told:
            try:
                return str(self.told.recv())
            except EOFError:
                pass
        if status is not None and status < 0:
            return f"its process was ended by {signal.Signals(-status).name}"
        return f"its process ended with status {status}" if status else None


def _train_one(plan: PlannedRun, device: str, line: int, lock: RLock, telling: Connection) -> None:
    """Body of the process that trains `plan`. Ctrl-C is for the parent, which then ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent's end", daemon=True).start()
    torch.set_num_threads(1)
    tqdm.set_lock(lock)
    try:
        draw_in_row(line)
        train_run(plan.open(device), resume=True)
    except Lass3dError as error:
        telling.send(str(error))
    except Exception as error:
        telling.send(f"{type(error).__name__}: {error}")
        raise


def _end_with_parent() -> None:
    """Wait for the parent's end, for a parent that is killed ends nobody: this process would train on unseen,
    and hold the lock of its folder against the next command.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
