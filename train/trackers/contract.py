"""What a tracker is told of a run, and what it has to offer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from lass3d_core.files.json_files import read_json, write_json

Ending = Literal["finished", "interrupted", "failed"]


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told at the start.

    folder: of the run. project: the runs that belong together. settings: the configuration, as JSON has it.
    measured: names of the figures by which runs are compared. steps_done: more than 0 if the run is resumed.
    """

    folder: Path
    project: str
    settings: Mapping[str, Any]
    measured: tuple[str, ...]
    steps_done: int

    @property
    def name(self) -> str:
        """What people call the run."""
        return self.folder.name

    @property
    def flat_settings(self) -> dict[str, str | float | bool]:
        """The settings by their keys, such as `optim.peak_lr`; lists as JSON."""
        return dict(_flat("", self.settings))

    def id_in(self, tracker: str) -> str | None:
        """By which id the tracker knows the run; None if it begins, or was begun without that tracker."""
        found = self._ids().get(tracker) if self.steps_done else None
        return None if found is None else str(found)

    def remember(self, tracker: str, identity: str) -> None:
        """Keep the id for a resumed run. Raises StorageError."""
        write_json(self._path, {**self._ids(), tracker: identity})

    @property
    def _path(self) -> Path:
        return self.folder / "trackers.json"

    def _ids(self) -> dict[str, Any]:
        try:
            found = read_json(self._path)
        except (OSError, ValueError):  # a lost id costs a second curve, not the run
            return {}
        return found if isinstance(found, dict) else {}


class Tracker(Protocol):
    """Takes the figures of one run. May raise anything: see guarded.py.

    A module of this package offers `start(run: TrackedRun) -> Tracker`. where: what to tell the user.
    """

    where: str

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Take the figures of a step. A step may come twice: a resumed run takes some again."""

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Take an image (H,W,3) uint8."""

    def finish(self, ending: Ending) -> None:
        """Write what is left."""


def _flat(key: str, value: Any) -> Iterator[tuple[str, str | float | bool]]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _flat(f"{key}.{name}" if key else name, one)
    elif isinstance(value, (str, int, float)):
        yield key, value
    else:
        yield key, json.dumps(value)
