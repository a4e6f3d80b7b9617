"""Many independent jobs on every core, with a progress bar."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from tqdm import tqdm

from preprocess.engine.ctrl_c import ctrl_c_held_back

Job = TypeVar("Job")


def do_all(work: Callable[[Job], None], jobs: Sequence[Job], workers: int, name: str, unit: str) -> None:
    """Call `work`, a function of a module, for each of `jobs`, in no certain order.

    workers: processes of one thread each, 0 = one per core. name and unit stand beside the progress bar.
    """
    processes = min(workers or os.cpu_count() or 1, len(jobs))
    progress = tqdm(total=len(jobs), desc=name, unit=unit, disable=not jobs)
    with progress, _mapped(work, jobs, processes) as done:
        for _ in done:
            progress.update()


@contextmanager
def _mapped(work: Callable[[Job], None], jobs: Sequence[Job], processes: int) -> Iterator[Iterable[None]]:
    if processes <= 1:
        yield map(work, jobs)
        return
    with _one_thread_each(), ExitStack() as stack:
        with ctrl_c_held_back():
            pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(processes))
        yield pool.imap_unordered(work, jobs)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started inside compute with one thread: their number is the parallelism."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
