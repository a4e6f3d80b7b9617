"""Trackio: a database on this machine, which `trackio show` draws, or a place that its variables name."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stdout

import numpy as np
import trackio

from train.trackers.contract import Ending, TrackedRun


class Trackio:
    """A run of Trackio."""

    def __init__(self, run: TrackedRun) -> None:
        # It knows a run by its name, and goes on with the latest of that name.
        with redirect_stdout(io.StringIO()):
            self._run = trackio.init(
                project=run.project,
                name=run.name,
                resume="allow" if run.id_in("trackio") else "never",
                config=run.flat_settings,
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        run.remember("trackio", self._run.id)
        self.where = f'trackio show --project "{run.project}"'

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """See Tracker."""
        self._run.log(dict(figures), step=step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """See Tracker."""
        self._run.log({name: trackio.Image(image)}, step=step)

    def finish(self, ending: Ending) -> None:
        """See Tracker."""
        with redirect_stdout(io.StringIO()):
            trackio.finish()  # not the run's own: trackio would finish it once more when Python ends


start = Trackio
