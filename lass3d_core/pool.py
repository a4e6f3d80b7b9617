"""`run_tasks`: independent tasks in several processes, each of which loads a model or opens data once.

Makes the shards of a stage, the files of a simulated world, and the runs of a table.

Why not concurrent.futures.ProcessPoolExecutor: if one of its processes is killed, say for lack of memory, all
tasks fail, and nothing says which one was at fault. Here that task alone fails, by name, and the other tasks
go on. An executor also has no channel for progress, cannot end its processes before Python 3.14, and leaves
them at work if the parent is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar, cast

from lass3d_core.errors import Lass3dError
from lass3d_core.signals import SIGNALS, WHOLE_GROUP_S, Interrupted, interruptible

Task = TypeVar("Task")
Result = TypeVar("Result")
Slot = TypeVar("Slot")

OnProgress = Callable[[int], None]  # called with the number of images, scans or texts that are newly done
Work = Callable[[Task, OnProgress], Result]  # does one task

# They limit the threads of a process, and are read when numpy or torch is imported.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerDied(Lass3dError):
    """The process that did a task ended before the task did; the message says how."""


@dataclass(frozen=True)
class Finished(Generic[Task, Result]):
    """A task that has ended: with a value, or with an error."""

    task: Task
    value: Result | None = None
    error: Exception | None = None

    def result(self) -> Result:
        """The value. Raises the error."""
        if self.error is not None:
            raise self.error
        return cast(Result, self.value)


def run_tasks(
    load: Callable[[Slot], Work[Task, Result]],
    tasks: Sequence[Task],
    slots: Sequence[Slot],
    on_progress: OnProgress = lambda units: None,
    *,
    one_thread: bool = False,
    fresh: bool = False,
) -> Generator[Finished[Task, Result], None, None]:
    """Do every task, and yield each as it ends. Close the iterator to end the processes.

    slots: one per process that runs at a time. `load(slot)` runs once in each process and returns the work.
    With a single slot the work is done in this process, and errors are raised here.
    one_thread: each process computes with one thread.
    fresh: each task gets a new process, even with one slot.
    A Lass3dError of a task comes back as it was. Any other exception is a fault of the program: its traceback
    is printed, and it comes back as a RuntimeError. If a process dies, its task ends with WorkerDied.
    """
    if not tasks:
        return
    if len(slots) == 1 and not fresh:
        work = load(slots[0])
        for task in tasks:
            yield Finished(task, work(task, on_progress))
        return
    waiting = deque(tasks)
    workers: dict[Connection, _Worker[Task, Result]] = {}

    def start(slot: Slot) -> None:
        with _signals_held_back(), _threads(one_thread):
            worker = _Worker[Task, Result](load, slot)
            workers[worker.connection] = worker
        worker.give(waiting.popleft())

    try:
        for slot in slots[: len(tasks)]:
            start(slot)
        while workers:
            for connection in wait(list(workers)):
                worker = workers[cast(Connection, connection)]
                answer = worker.receive()
                if isinstance(answer, int):
                    on_progress(answer)
                    continue
                if fresh or not waiting or isinstance(answer.error, WorkerDied):
                    worker.dismiss()
                    del workers[worker.connection]
                yield answer
                if waiting and worker.connection in workers:
                    worker.give(waiting.popleft())
                elif waiting:
                    start(worker.slot)
    finally:
        for worker in workers.values():
            worker.terminate()
        for worker in workers.values():
            worker.wait()


class _Worker(Generic[Task, Result]):
    """The parent's side of one process. connection: carries tasks there, and progress and answers back."""

    def __init__(self, load: Callable[[Any], Work[Task, Result]], slot: Any) -> None:
        spawn = multiprocessing.get_context("spawn")  # a forked process cannot use a GPU
        self.slot = slot
        self.connection, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs, load, slot))
        self._process.start()
        theirs.close()

    def give(self, task: Task) -> None:
        self._task = task
        with suppress(ConnectionError):  # if it is dead, `receive` says so
            self.connection.send(task)

    def receive(self) -> int | Finished[Task, Result]:
        """What has arrived: progress, or the end of the task."""
        try:
            answer = self.connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            status = self._process.exitcode or 0
            if -status in SIGNALS or status - 128 in SIGNALS:
                time.sleep(WHOLE_GROUP_S)  # the same signal may be on its way to this process
            how = f"ended with status {status}; the cause may stand above"
            if status < 0:
                how = f"was ended by {signal.Signals(-status).name} (out of memory?)"
            return Finished(self._task, error=WorkerDied(f"its process {how}"))
        return answer if isinstance(answer, int) else Finished(self._task, *answer)

    def dismiss(self) -> None:
        """Let the process end by itself, now that it has nothing to do."""
        with suppress(ConnectionError):
            self.connection.send(None)
        self._process.join()
        self.connection.close()

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self) -> None:
        self._process.join()
        self.connection.close()


def _serve(parent: Connection, load: Callable[[Any], Work[Task, Result]], slot: Any) -> None:
    """Body of a process: do the tasks that arrive, until None does."""
    threading.Thread(target=_end_with_parent, name="end with parent", daemon=True).start()

    def on_progress(units: int) -> None:
        try:
            parent.send(units)
        except ConnectionError:
            os._exit(1)  # the parent is gone; an exception here would look like a fault of the task

    work = None
    with suppress(EOFError, ConnectionError):  # they say that the parent is gone
        while (task := parent.recv()) is not None:
            answer: tuple[Result | None, Exception | None]
            try:
                work = work or load(slot)
                answer = work(task, on_progress), None
            except Lass3dError as error:
                answer = None, error
            except Interrupted as stop:
                raise SystemExit(stop.status) from None  # the parent ends this process
            except Exception as error:
                traceback.print_exc()  # it does not travel
                answer = None, RuntimeError(f"{type(error).__name__}: {error}")
            parent.send(answer)


def _end_with_parent() -> None:
    """Exit as soon as the parent does: a killed parent cannot end its children."""
    # A child left alone would work on unseen, and hold the lock of its folder against the next command.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Hide SIGNALS from the processes started inside; if one came, raise Interrupted afterwards.

    A terminal and a scheduler signal every process. The parent alone should answer, by ending the others.
    It ends them by SIGTERM, which they therefore do not hide.
    """
    resource_tracker.ensure_running()  # started later, by the first process, it would lift the mask
    with interruptible(held=True):
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, set(SIGNALS) - {signal.SIGTERM})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _threads(one: bool) -> Iterator[None]:
    """Let the processes started inside compute with one thread, if `one`."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1") if one else {})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
