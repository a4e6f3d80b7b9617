"""Whatever happens in a worker: one error at the item that is missing, and never a wait without end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils import signal_handling

from lass3d_core.compute import shared_memory
from lass3d_core.errors import CorruptArtifact, Lass3dError, StorageError
from lass3d_core.pool import WorkerDied
from train.data import loading
from train.data.loading import _bytes_sent, built_ahead

PARENT = os.getpid()


class Numbers(Dataset[Any]):
    """Item i is the number i; from item 2 on a worker first does `fault`, whose value it sends instead."""

    def __init__(self, fault: Callable[[], Any] = lambda: None) -> None:
        self.fault = fault

    def __getitem__(self, number: int) -> Any:
        faulty = number >= 2 and os.getpid() != PARENT
        return (self.fault() if faulty else None) or torch.tensor(number)


def cannot_be_sent() -> Any:
    return lambda: None


def lacks_memory() -> Any:
    raise MemoryError


def lacks_a_key() -> Any:
    raise KeyError("k")


def damaged() -> Any:
    raise CorruptArtifact("00-000.h5 is damaged")


def bus_error() -> Any:
    os.kill(os.getpid(), signal.SIGBUS)
    time.sleep(60)


def killed() -> Any:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def test_items_come_in_order_whatever_the_workers() -> None:
    for workers in (0, 1, 2):
        found = [int(item) for item in built_ahead(Numbers(), range(3, 9), workers)]
        assert found == [3, 4, 5, 6, 7, 8]
    assert [int(item) for item in built_ahead(Numbers(), [4], 2)] == [4]
    assert list(built_ahead(Numbers(), [], 2)) == []


@pytest.mark.parametrize(
    ("fault", "kind", "line"),
    [
        (damaged, CorruptArtifact, r"^00-000\.h5 is damaged$"),
        (
            lacks_a_key,
            WorkerDied,
            r"at batch 2: KeyError: 'k' \(test_loading\.py, line \d+\); set data\.work",
        ),
        (lacks_memory, WorkerDied, r"at batch 2: MemoryError: .*data\.workers lower"),
    ],
)
def test_an_error_of_an_item_comes_in_its_place_and_in_one_line(
    fault: Callable[[], Any], kind: type[Lass3dError], line: str
) -> None:
    items = built_ahead(Numbers(fault), range(6), 2)
    assert [int(next(items)), int(next(items))] == [0, 1]
    with pytest.raises(kind, match=line) as caught:
        next(items)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "kind", "line"),
    [
        (killed, WorkerDied, r"a worker was ended by SIGKILL \(out of memory\?\); set data\.workers lower"),
        pytest.param(bus_error, StorageError, "is full: .*--shm-size", marks=pytest.mark.slow),
        pytest.param(cannot_be_sent, WorkerDied, "ended with status 1", marks=pytest.mark.slow),
        pytest.param(
            lambda: time.sleep(600), WorkerDied, "built one batch for more than 1 s", marks=pytest.mark.slow
        ),
    ],
)
def test_a_worker_that_ends_or_hangs_ends_the_wait(
    fault: Callable[[], Any], kind: type[Lass3dError], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "LONGEST_S", 1)
    with pytest.raises(kind, match=line) as caught:
        list(built_ahead(Numbers(fault), range(6), 2))
    assert "\n" not in str(caught.value)


def test_a_death_is_told_where_its_item_is_missing_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's own handler, which a loader made elsewhere leaves, would raise from the sleep."""
    monkeypatch.setattr(signal_handling, "_SIGCHLD_handler_set", False)  # PyTorch sets it once
    list(DataLoader(Numbers(), batch_size=None, sampler=range(1), num_workers=1))
    items = built_ahead(Numbers(killed), range(6), 1)
    next(items)
    time.sleep(0.5)
    items.close()  # type: ignore[attr-defined]


def test_items_that_do_not_fit_are_refused_before_a_worker_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loading, "shortage", lambda size, workers: f"{size} bytes for {workers} workers")
    with pytest.raises(StorageError, match=r"^4096 bytes for 2 workers$"):
        built_ahead(Numbers(), range(6), 2)
    assert len(list(built_ahead(Numbers(), range(6), 0))) == 6


def test_only_tensors_travel_through_shared_memory_in_whole_pages() -> None:

    nested = {"pair": [torch.zeros(2000), b"0" * 100_000], "more": (torch.zeros(1),)}
    assert _bytes_sent(nested) == 2 * 4096 + 4096
    assert shared_memory.BATCHES_AHEAD == 2
