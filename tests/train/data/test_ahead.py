"""What is fetched ahead is what would have come anyway."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from train.data.batches import prefetch


def test_items_come_in_order_to_the_last() -> None:
    assert list(prefetch(iter([3, None, 1]))) == [3, None, 1]
    assert list(prefetch(iter([]))) == []


def test_the_next_is_fetched_before_it_is_asked_for() -> None:
    fetched = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        fetched.set()
        yield 2

    ahead = prefetch(items())
    assert next(ahead) == 1
    assert fetched.wait(timeout=10)
    assert list(ahead) == [2]


def test_a_fault_is_raised_where_its_item_would_have_come() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    ahead = prefetch(items())
    assert next(ahead) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)


def test_what_is_left_early_ends_its_thread() -> None:
    before = set(threading.enumerate())
    ahead = prefetch(iter(range(5)))
    assert next(ahead) == 0
    assert len(set(threading.enumerate()) - before) == 1
    ahead.close()  # type: ignore[attr-defined]
    assert not set(threading.enumerate()) - before
