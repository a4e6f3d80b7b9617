"""Batches and scans that worker processes build ahead, with an end to everything that can go wrong in one.

PyTorch's loader waits for ever for a batch that its worker could not send, tells of a worker's death in the
middle of whatever the program is doing, and shows a worker's error as a traceback. Here each of them is one
error at the batch that is missing.
"""

from __future__ import annotations

import errno
import io
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lass3d_core.compute.shared_memory import BATCHES_AHEAD, SHARED_MEMORY, WAYS_OUT, shortage
from lass3d_core.errors import Lass3dError, StorageError
from lass3d_core.pool import WorkerDied
from lass3d_core.signals import SIGNALS, WHOLE_GROUP_S

Item = TypeVar("Item")

LONGEST_S = 900
"""A worker that builds one batch for so many seconds will never end: it is killed, and the run ends."""

_OTHER_WAYS = "set data.workers lower (--set), or to 0: the training process builds the batches"
_PAGE = 4096  # bytes: each tensor takes whole pages of shared memory


def built_ahead(
    items: Dataset[Item], numbers: Sequence[int], workers: int, pinned: bool = False
) -> Iterator[Item]:
    """items[number] for each of `numbers`, in order. `workers` processes build them ahead.

    pinned: put them in page-locked memory, so that the copy to a GPU runs beside the computation.
    Raises StorageError, before a worker starts, if the items do not fit into shared memory. The iterator
    raises the Lass3dError of an item, and WorkerDied if a worker dies, raises or cannot send its item.
    """
    if not workers or len(numbers) < 2:
        return iter(DataLoader(items, batch_size=None, sampler=numbers, pin_memory=pinned))
    first = items[numbers[0]]
    workers = min(workers, len(numbers) - 1)
    together = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # of torchrun: they share the memory
    if short := shortage(_bytes_sent(first), workers * together):
        raise StorageError(short)
    others = set(multiprocessing.active_children())
    before = signal.getsignal(signal.SIGCHLD)
    made = iter(
        DataLoader(
            _InWorker(items),
            batch_size=None,
            sampler=numbers[1:],
            num_workers=workers,
            prefetch_factor=BATCHES_AHEAD,
            pin_memory=pinned,
            worker_init_fn=_begin_worker,
        )
    )
    if threading.current_thread() is threading.main_thread():
        # PyTorch's handler would raise in the middle of a step. The loader notices a death without it.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if _is_of_pytorch(before) else before)
    return _watched([first], made, [one for one in multiprocessing.active_children() if one not in others])


def _is_of_pytorch(handler: Any) -> bool:
    """Whether an earlier loader, made elsewhere, has left PyTorch's handler."""
    return str(getattr(handler, "__module__", "")).startswith("torch.")


def _watched(first: list[Any], made: Iterator[Any], workers: Sequence[Any]) -> Iterator[Any]:
    yield first.pop()
    while True:
        try:
            item = next(made)
        except StopIteration:
            return
        except Exception as error:
            # Decision: what the loader raises is a fault of its workers; what items raise comes as _Fault.
            time.sleep(WHOLE_GROUP_S)  # the signal that ended a worker may be on its way to this process
            raise _what_ended(workers, error) from None
        if isinstance(item, _Fault):
            raise item.error
        yield item


class _Fault:
    """An item that could not be built."""

    def __init__(self, error: Lass3dError) -> None:
        self.error = error


class _InWorker(Dataset[Any]):
    """`items`, as a worker builds them: in finite time, and an error is an item too."""

    def __init__(self, items: Dataset[Any]) -> None:
        self._items = items

    def __getitem__(self, number: int) -> Any:
        signal.alarm(LONGEST_S)
        try:
            return self._items[number]
        except Lass3dError as error:
            return _Fault(error)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(frame.filename).name}, line {frame.lineno}"
            what = " ".join(f"{type(error).__name__}: {error}".split())
            return _Fault(WorkerDied(f"a worker failed at batch {number}: {what} ({where}); {_OTHER_WAYS}"))
        finally:
            signal.alarm(0)


def _begin_worker(worker: int) -> None:
    """Leave signals to the parent, and let the worker die of what it could otherwise only report."""
    for number in SIGNALS:
        if number != signal.SIGTERM:  # the loader ends its workers by it
            signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGALRM, signal.SIGBUS):
        signal.signal(number, signal.SIG_DFL)
    # A thread sends the items. By default it drops one that cannot be sent, and the parent waits for it.
    Queue._on_queue_feeder_error = staticmethod(_cannot_send)  # type: ignore[attr-defined]


def _cannot_send(error: Exception, item: object) -> NoReturn:
    """End the worker, with the number of the system's error as its status."""
    for number in (errno.ENOSPC, errno.ENOMEM, errno.EMFILE):
        if os.strerror(number) in str(error):
            os._exit(number)
    print(f"a worker cannot send its batch: {error}", file=sys.stderr, flush=True)
    os._exit(1)


def _what_ended(workers: Sequence[Any], error: Exception) -> Lass3dError:
    statuses = [worker.exitcode for worker in workers if worker.exitcode]
    status = statuses[0] if statuses else 0
    if status in (errno.ENOSPC, errno.ENOMEM, -signal.SIGBUS):
        return StorageError(f"{SHARED_MEMORY} is full: a worker cannot send its batch; {WAYS_OUT}")
    if status == errno.EMFILE or os.strerror(errno.EMFILE) in str(error):
        return StorageError(
            f"the batches of the workers need more open files; ulimit -n 65536, or {_OTHER_WAYS}"
        )
    if status == -signal.SIGALRM:
        return WorkerDied(f"a worker built one batch for more than {LONGEST_S} s; {_OTHER_WAYS}")
    if status < 0:
        name = signal.Signals(-status).name
        return WorkerDied(f"a worker was ended by {name} (out of memory?); {_OTHER_WAYS}")
    if status:
        return WorkerDied(f"a worker ended with status {status}; the cause may stand above; {_OTHER_WAYS}")
    return WorkerDied(f"the workers failed: {' '.join(str(error).split())}; {_OTHER_WAYS}")


class _Counter(pickle.Pickler):
    """Counts the bytes of tensors, which travel through shared memory, and drops all else."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())
        self.bytes = 0

    def persistent_id(self, value: Any) -> int | None:
        if not isinstance(value, Tensor):
            return None
        self.bytes += -(-value.untyped_storage().nbytes() // _PAGE) * _PAGE
        return 0


def _bytes_sent(item: object) -> int:
    counter = _Counter()
    counter.dump(item)
    return counter.bytes
