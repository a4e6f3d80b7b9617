"""Read a run's folder: configuration, split, log, figures; and the runs to compare it with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lass3d_core.errors import CorruptArtifact
from lass3d_core.files.json_files import read_json
from lass3d_core.files.splits import LabelledSplit
from train.config import RunConfig, SavedRun
from train.evaluate import Metrics
from train.runs.listing import changed_settings
from train.runs.logs import read_log

SPLITS = ("test", "val")
"""The splits that are evaluated; the page reports the first that is there."""


@dataclass(frozen=True)
class RunRecord:
    """Everything in a run's folder except the weights.

    title: how the page calls the run.
    log: column -> values (n,) float64 by row, NaN if not measured. It is empty or has the column "step".
    metrics: "test", "val" -> the figures, for the splits that were evaluated.
    """

    folder: Path
    title: str
    saved: SavedRun
    split: LabelledSplit
    environment: Mapping[str, Any]
    log: Mapping[str, np.ndarray]
    metrics: Mapping[str, Metrics]

    @property
    def config(self) -> RunConfig:
        """The resolved configuration."""
        return self.saved.config


def read_run(folder: Path, title: str | None = None) -> RunRecord:
    """The run in `folder`. Raises MissingArtifact, CorruptArtifact."""
    saved = SavedRun.load(folder / "config.json")
    return RunRecord(
        folder=folder,
        title=title or titled(folder, saved.config),
        saved=saved,
        split=LabelledSplit.load(folder / "split.json"),
        environment=_json(folder / "environment.json"),
        log=_columns(folder / "log.csv"),
        metrics={
            split: Metrics.load(path)
            for split in SPLITS
            if (path := folder / f"metrics-{split}.json").is_file()
        },
    )


def siblings(run: RunRecord) -> list[RunRecord]:
    """The other runs of the comparison that `run` is in, from the demo.json beside its folder.

    demo.json: title -> folder, from where the file lies. No runs if there is no such file, or if it does
    not name `run`. Runs whose folder is gone are left out. Raises CorruptArtifact.
    """
    beside = run.folder.parent
    listed = {title: (beside / folder).resolve() for title, folder in _json(beside / "demo.json").items()}
    if run.folder.resolve() not in listed.values():
        return []
    others = {title: folder for title, folder in listed.items() if folder != run.folder.resolve()}
    return [read_run(folder, title) for title, folder in others.items() if (folder / "config.json").is_file()]


def titled(folder: Path, config: RunConfig) -> str:
    """The method in words, with the tag of the run's folder and what differs from its preset."""
    tag = folder.name.removeprefix(config.name).lstrip("-") if folder.name.startswith(config.name) else ""
    changed = changed_settings(config)
    shown = [tag, *changed[:2], *([f"{len(changed) - 2} more"] if len(changed) > 2 else [])]
    remarks = ", ".join(part for part in shown if part)
    return f"{title_of(config)} ({remarks})" if remarks else title_of(config)


def title_of(config: RunConfig) -> str:
    """The method in words."""
    names = {
        "supervised": "supervised only",
        "mean_teacher": "Mean Teacher",
        "cps": "CPS",
        "cbst": "CBST",
        "gpc": "GPC",
        "lasermix": "LaserMix",
        "lim3d": "LiM3D",
        "ignet": "IGNet",
        "sss_net": "SSS-Net",
        "lass3d": "LASS3D",
        "lass3d_plus": "LASS3D+",
    }
    title = names.get(config.method_name, config.method_name)
    if config.net.view == "range":
        title = f"{title} (range view)"
    silent = getattr(config.method, "captions", None) == "none" or getattr(config.method, "strength", 1) == 0
    return f"{title} without text" if silent else title


def _columns(path: Path) -> dict[str, np.ndarray]:
    rows = read_log(path)
    names = list(rows[0]) if rows else []
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}


def _json(path: Path) -> dict[str, Any]:
    """The content of a JSON file; empty if it is missing. Raises CorruptArtifact."""
    try:
        return read_json(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CorruptArtifact(f"{path} is not JSON ({error}); run the evaluation again") from None
