"""TensorBoard: event files in the run's folder. Figures, hyper-parameters, pictures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from train.trackers.contract import Ending, TrackedRun


class TensorBoard:
    """The event files of one run. What a killed run wrote of later steps is not shown."""

    where = ""  # docs/formats.md names the folder, and no line of every run has to

    def __init__(self, run: TrackedRun) -> None:
        self._events = SummaryWriter(run.folder / "events", purge_step=run.steps_done or None)
        # Not `add_hparams`, which writes into a folder of its own and shows the run twice.
        writer = self._events._get_file_writer()
        for summary in hparams(run.flat_settings, dict.fromkeys(run.measured, 0)):
            writer.add_summary(summary, run.steps_done)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """See Tracker."""
        for name, value in figures.items():
            self._events.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """See Tracker."""
        self._events.add_image(name, image, step, dataformats="HWC")

    def finish(self, ending: Ending) -> None:
        """See Tracker."""
        self._events.close()


start = TensorBoard
