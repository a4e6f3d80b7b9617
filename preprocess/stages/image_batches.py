"""Images through a language-vision model, in batches; one by one where a batch fails, to name the bad one.

Threads read the next images while the model is busy with the ones before; Pillow decodes without the lock of
the interpreter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from lass3d_core.errors import BackendUnavailable, DataError, StorageError
from lass3d_core.files.images import read_image
from lass3d_core.records import View
from preprocess.lvm.params import RunParams

Answer = TypeVar("Answer")
Ask = Callable[[list[np.ndarray], list[View]], list[Answer]]

BATCH = 8
"""Fewest images handed to a model at once (its adapter may cut them further)."""

BATCHES_AHEAD = 2
"""Batches that are read before the model asks for them; memory holds them and the one at work."""

READERS = 4
"""Threads that read images."""

Read = tuple[View, "Future[np.ndarray]"]
"""A view, and its image as soon as it is read; or the reason why it cannot be."""


def images_at_once(run: RunParams | None) -> int:
    """As many as the model wants to see together, and no fewer than BATCH."""
    return max(BATCH, run.batch) if run is not None else BATCH


def answers(
    views: Sequence[View], ask: Ask[Answer], tick: Callable[[int], None], at_once: int = BATCH
) -> Iterator[Answer | str]:
    """What `ask` says of each view's image, in order; for a failing image, why it failed, on one line.

    ask takes at most `at_once` images (H,W,3) uint8 RGB and their views. tick is told how many were done.
    Raises BackendUnavailable, StorageError: they are no fault of an image.
    """
    for batch in _read_ahead(views, at_once):
        try:
            given: list[Answer | str] = [*_asked(batch, ask)]
        except (BackendUnavailable, StorageError):
            raise
        except Exception:
            given = [_asked_alone(each, ask) for each in batch]
        tick(len(batch))
        yield from given


def _read_ahead(views: Sequence[View], at_once: int) -> Iterator[list[Read]]:
    """The views in batches, in order, while the images of `BATCHES_AHEAD` more are being read."""
    ahead: deque[list[Read]] = deque()
    pool = ThreadPoolExecutor(READERS, thread_name_prefix="read")
    try:
        for start in range(0, len(views), at_once):
            batch = views[start : start + at_once]
            ahead.append([(view, pool.submit(read_image, view.image)) for view in batch])
            if len(ahead) > BATCHES_AHEAD:
                yield ahead.popleft()
        while ahead:
            yield ahead.popleft()
    finally:
        pool.shutdown(cancel_futures=True)


def _asked(batch: list[Read], ask: Ask[Answer]) -> list[Answer]:
    given = ask([image.result() for _, image in batch], [view for view, _ in batch])
    if len(given) != len(batch):
        raise DataError(f"the model gave {len(given)} answers for {len(batch)} images")
    return given


def _asked_alone(each: Read, ask: Ask[Answer]) -> Answer | str:
    try:
        return _asked([each], ask)[0]
    except (BackendUnavailable, StorageError):
        raise
    except DataError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
