"""Independent files of a simulated world, written on every core, with a progress bar."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Any, TypeVar

from tqdm import tqdm

from lass3d_core.errors import BackendUnavailable
from lass3d_core.pool import OnProgress, Work, WorkerDied, run_tasks

Task = TypeVar("Task")


def do_all(write: Callable[[Task], None], tasks: Sequence[Task], workers: int, name: str, unit: str) -> None:
    """Call `write`, a function of a module, for each task, in no particular order.

    workers: processes of one thread each; 0 = one per core.
    name and unit stand beside the progress bar.
    Raises what a task raises, and BackendUnavailable if a process is killed from outside.
    """
    slots = [None] * max(1, min(workers or os.cpu_count() or 1, len(tasks)))
    ended = run_tasks(partial(_ignoring_progress, write), tasks, slots, one_thread=True)
    with tqdm(total=len(tasks), desc=name, unit=unit, disable=not tasks) as bar, closing(ended):
        for finished in ended:
            if isinstance(finished.error, WorkerDied):
                raise BackendUnavailable(
                    f"{name}: {finished.error} while it wrote a {unit}; set `workers` lower in the manifest "
                    "and run again, what is written is kept"
                )
            finished.result()
            bar.update()


def _ignoring_progress(write: Callable[[Any], None], slot: None) -> Work[Any, None]:
    def work(task: Any, on_progress: OnProgress) -> None:
        write(task)

    return work
