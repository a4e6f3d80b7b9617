"""Shows images to a language-vision model in batches.

If a batch fails, its images are shown one by one, so that the bad one is named. Threads read the next images
while the model is busy; they run in parallel because Pillow releases the interpreter's lock to decode.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from lass3d_core.errors import BackendUnavailable, DataError, StorageError
from lass3d_core.files.images import read_image
from lass3d_core.pool import OnProgress
from lass3d_core.records import ImageFile
from preprocess.lvm.params import RunParams

Answer = TypeVar("Answer")
Ask = Callable[[list[np.ndarray], list[ImageFile]], Sequence[Answer]]

BATCH = 8  # the smallest batch of a model with weights; its adapter may cut it further
BATCHES_AHEAD = 2  # in memory, together with the batch that the model works on
READERS = 4  # threads that read images

Read = tuple[ImageFile, "Future[np.ndarray]"]
"""A view, and its image once it is read."""


def images_at_once(run: RunParams | None) -> int:
    """The model's batch size, but at least BATCH; 1 for a model without weights, which gains nothing by more.

    With those that are read ahead, three times as many images are in memory, in every process.
    """
    return max(BATCH, run.batch) if run is not None else 1


def answers(
    views: Sequence[ImageFile], ask: Ask[Answer], on_progress: OnProgress, at_once: int = BATCH
) -> Iterator[Answer | str]:
    """Yield the answer of `ask` for each view, in order; for an image that fails, the reason, on one line.

    ask: takes at most `at_once` images (H,W,3) uint8 RGB and their views.
    Raises BackendUnavailable and StorageError, which are no fault of an image.
    """
    for batch in _read_ahead(views, at_once):
        try:
            given: list[Answer | str] = [*_ask(batch, ask)]
        except (BackendUnavailable, StorageError):
            raise
        except Exception:
            given = [_ask_for_one(one, ask) for one in batch]
        on_progress(len(batch))
        yield from given


def _read_ahead(views: Sequence[ImageFile], at_once: int) -> Iterator[list[Read]]:
    """Yield the views in batches, in order, while the images of BATCHES_AHEAD more are being read."""
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


def _ask(batch: list[Read], ask: Ask[Answer]) -> Sequence[Answer]:
    given = ask([image.result() for _, image in batch], [view for view, _ in batch])
    if len(given) != len(batch):
        raise DataError(f"the model gave {len(given)} answers for {len(batch)} images")
    return given


def _ask_for_one(one: Read, ask: Ask[Answer]) -> Answer | str:
    try:
        return _ask([one], ask)[0]
    except (BackendUnavailable, StorageError):
        raise
    except DataError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
