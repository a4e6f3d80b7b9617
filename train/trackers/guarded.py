"""Every tracker of a run behind one guard: a tracker that fails is left out, and the run goes on.

A run is worth more than its curves elsewhere: log.csv has them all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

import numpy as np
from tqdm import tqdm

from lass3d_core.signals import Interrupted
from train.trackers.contract import Ending, TrackedRun, Tracker

ALWAYS = "tensorboard"


class Trackers:
    """The trackers of a run that are still well, for a `with` block."""

    def __init__(self, run: TrackedRun, names: Sequence[str] = ()) -> None:
        """names: of modules of this package, beside TensorBoard."""
        self._well: dict[str, Tracker] = {}
        for name in dict.fromkeys((ALWAYS, *names)):
            self._try(name, lambda name=name: self._start(run, name))  # type: ignore[misc]

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Give the figures of a step to each tracker."""
        self._each(lambda tracker: tracker.log(step, figures))

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Give an image (H,W,3) uint8 to each tracker."""
        self._each(lambda tracker: tracker.picture(step, name, image))

    def __enter__(self) -> Trackers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        ending: Ending = "finished"
        if kind is not None:
            ending = "interrupted" if issubclass(kind, Interrupted) else "failed"
        self._each(lambda tracker: tracker.finish(ending))

    def _start(self, run: TrackedRun, name: str) -> None:
        tracker: Tracker = import_module(f"train.trackers.{name}").start(run)
        self._well[name] = tracker
        if tracker.where:
            tqdm.write(f"{name}: {tracker.where}", file=sys.stderr)

    def _each(self, tell: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._well.items()):
            self._try(name, lambda tracker=tracker: tell(tracker))  # type: ignore[misc]

    def _try(self, name: str, do: Callable[[], None]) -> None:
        try:
            do()
        except Exception as error:
            self._well.pop(name, None)
            why = next(iter(str(error).splitlines()), "") or type(error).__name__
            tqdm.write(
                f"note: {name} gets no more figures of this run ({why}); log.csv has them", file=sys.stderr
            )
