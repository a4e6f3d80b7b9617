"""The next item, fetched while the last one is at work."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterator[Item]) -> Iterator[Item]:
    """The same items in the same order; a thread has the next one ready. What it raises is raised here.

    To take a batch from a loader's worker, the two processes exchange messages over a socket while the worker
    builds the next one: milliseconds in which nobody trains, unless the batch was asked for in time.
    """
    with ThreadPoolExecutor(1, "one ahead") as thread:
        end = object()
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item
