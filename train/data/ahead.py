"""Prefetching by one item."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterator[Item]) -> Iterator[Item]:
    """Yield `items` unchanged, while a thread fetches the next one. An error of `items` is raised here.

    A batch travels from a loader's worker by several messages over a socket, while the worker builds the
    next batch. That takes milliseconds, in which training would stand still unless it asks early.
    """
    with ThreadPoolExecutor(1, "prefetch") as thread:
        end = object()
        coming: Future[Any] = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item
