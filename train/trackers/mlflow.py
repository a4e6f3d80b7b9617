"""MLflow: the server of MLFLOW_TRACKING_URI, or the folder `mlruns` beside the runs.

Decision: the folder is MLflow's file store, which it maintains no further but still writes. Its successor, a
database, needs packages that the small `mlflow-skinny` lacks.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping

import numpy as np

from train.trackers.contract import Ending, TrackedRun

# Read when mlflow is imported, or at its first request. A dead server would else block a step for minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

_MOST_METRICS = 1000  # in one request
_MOST_S = 10.0  # figures wait for others for so long: a request to a server takes as long as a small step
_MOST_CHARACTERS = 500  # of a parameter's value
_ENDINGS: dict[Ending, str] = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


class MLflow:
    """A run of MLflow, and the figures that are not sent yet."""

    def __init__(self, run: TrackedRun) -> None:
        local = (run.folder.parent.parent / "mlruns").resolve().as_uri()
        uri = os.environ.get("MLFLOW_TRACKING_URI") or local
        self._client = MlflowClient(tracking_uri=uri)
        self._waiting: list[Metric] = []
        self._sent = time.monotonic()
        known = run.id_in("mlflow")
        self._id = self._new(run) if known is None else known
        if known is not None:
            self._client.update_run(known, status="RUNNING")
        run.remember("mlflow", self._id)
        self.where = f"run {self._id} in {uri.removeprefix('file://')}"

    def _new(self, run: TrackedRun) -> str:
        experiment = self._client.get_experiment_by_name(run.project)
        number = experiment.experiment_id if experiment else self._client.create_experiment(run.project)
        identity = str(self._client.create_run(number, run_name=run.name).info.run_id)
        settings = run.flat_settings.items()
        params = [Param(_plain(key), str(value)[:_MOST_CHARACTERS]) for key, value in settings]
        for first in range(0, len(params), 100):
            self._client.log_batch(identity, params=params[first : first + 100])
        return identity

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """See Tracker."""
        now = round(time.time() * 1000)
        self._waiting += [Metric(_plain(name), value, now, step) for name, value in figures.items()]
        if len(self._waiting) >= _MOST_METRICS or time.monotonic() - self._sent > _MOST_S:
            self._send()

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """See Tracker."""
        self._client.log_image(self._id, image, key=_plain(name), step=step)

    def finish(self, ending: Ending) -> None:
        """See Tracker."""
        self._send()
        self._client.set_terminated(self._id, _ENDINGS[ending])

    def _send(self) -> None:
        while self._waiting:
            self._client.log_batch(self._id, metrics=self._waiting[:_MOST_METRICS])
            del self._waiting[:_MOST_METRICS]
        self._sent = time.monotonic()


def _plain(name: str) -> str:
    """`name` in the characters that MLflow allows."""
    return re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII)


start = MLflow
