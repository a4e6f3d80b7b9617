"""Estimate how long runs take, from the logs of finished runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from lass3d_core.errors import CorruptArtifact, MissingArtifact
from lass3d_core.files.json_files import read_json
from train.config import RunConfig, SavedRun
from train.runs.logs import column_mean, read_log


@dataclass(frozen=True)
class Pace:
    """Seconds per training step, by kinds of runs. See _keys for the kinds. Evaluation is not included."""

    seconds: dict[Any, float]
    runs: int

    @classmethod
    def of(cls, folder: Path, machine: tuple[str, str] | None = None) -> Pace:
        """Read the logs of all runs in `folder`. Unreadable runs are skipped.

        machine: device and processor, as environment.json has them; other machines' runs are skipped, too.
        """
        measured: dict[Any, list[float]] = {}
        runs = 0
        for path in sorted(folder.glob("*/config.json")):
            if machine is not None and _machine_of(path.parent / "environment.json") != machine:
                continue
            try:
                config = SavedRun.load(path).config
                seconds = column_mean(read_log(path.parent / "log.csv"), "seconds")
            except (CorruptArtifact, MissingArtifact):
                continue
            if seconds is not None:
                runs += 1
                for key in _keys(config):
                    measured.setdefault(key, []).append(seconds)
        return cls({key: fmean(values) for key, values in measured.items()}, runs)

    def per_step(self, config: RunConfig) -> float | None:
        """Expected seconds of a step; None if no similar run is known."""
        return next((self.seconds[key] for key in _keys(config) if key in self.seconds), None)

    def left(self, work: Iterable[tuple[int, RunConfig]], at_a_time: int = 1) -> float | None:
        """Expected seconds for so many steps of each run; None if the pace of one is unknown."""
        paces = [(steps, self.per_step(config)) for steps, config in work]
        known = [steps * seconds for steps, seconds in paces if seconds is not None]
        return sum(known) / at_a_time if len(known) == len(paces) else None


def _keys(config: RunConfig) -> Iterator[Any]:
    """Keys that runs of about the same pace share, the most similar runs first."""
    data = replace(config.data, workers=0)
    yield config.method, config.net, data, config.precision
    yield config.method_name, config.net, data, config.precision
    scans = data.labelled_scans, data.unlabelled_scans, data.accumulate
    yield config.net, scans, data.voxel_m, config.precision


def _machine_of(environment: Path) -> tuple[str, str] | None:
    try:
        values = read_json(environment)
        return str(values["device"]), str(values["processor"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
