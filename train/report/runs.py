"""A run's folder as plain records: configuration, split, log, figures, and the runs to compare it with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lass3d_core.errors import CorruptArtifact
from lass3d_core.files.splits import LabelledSplit
from lass3d_core.settings import to_json
from train.config import RunConfig, SavedRun
from train.evaluate import Metrics
from train.presets import published_beside
from train.report.tables import Setting
from train.runs.logs import read_log

SPLITS = ("test", "val")
"""The splits that are evaluated, the one to report first."""


@dataclass(frozen=True)
class RunRecord:
    """Everything that a run's folder says of it, but for its weights.

    title: how the page calls the run. log: column -> values (n,) float64 by row, NaN where not taken; it has
    "step", or is empty. metrics: "val", "test" -> its figures, where it was evaluated.
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
        title=title or title_of(saved.config),
        saved=saved,
        split=LabelledSplit.load(folder / "split.json"),
        environment=_json(folder / "environment.json") or {},
        log=_columns(folder / "log.csv"),
        metrics={
            split: Metrics.load(path)
            for split in SPLITS
            if (path := folder / f"metrics-{split}.json").is_file()
        },
    )


def siblings(run: RunRecord) -> list[RunRecord]:
    """The other runs of the comparison that `run` is in, from demo.json (title -> folder) beside its folder.

    None where there is no such file or it does not name the run; runs that are gone are left out.
    Raises CorruptArtifact.
    """
    listed = {
        title: Path(folder).resolve()
        for title, folder in (_json(run.folder.parent / "demo.json") or {}).items()
    }
    if run.folder.resolve() not in listed.values():
        return []
    others = {title: folder for title, folder in listed.items() if folder != run.folder.resolve()}
    return [read_run(folder, title) for title, folder in others.items() if (folder / "config.json").is_file()]


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


def settings(config: RunConfig) -> list[Setting]:
    """Every setting of the run by its path, with the published recipe's value where that is another one."""
    papers = published_beside(config.preset)(config.dataset, config.method_name, config.ratio, config.seed)
    here, there = flat(to_json(config)), flat(to_json(papers))
    return [
        Setting(key, worded(value), None if value == there.get(key) else worded(there.get(key)))
        for key, value in here.items()
        if key not in ("note", "preset")
    ]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values as "key.key" -> value."""
    named: dict[str, Any] = {}
    for key, value in values.items():
        path = f"{prefix}{key}"
        named |= flat(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return named


def worded(value: Any) -> str:
    """A setting's value as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(worded, value)) or "none"
    return "none" if value is None else str(value)


def _columns(path: Path) -> dict[str, np.ndarray]:
    rows = read_log(path)
    names = list(rows[0]) if rows else []
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}


def _json(path: Path) -> Any:
    """The content of a JSON file, None where there is none. Raises CorruptArtifact."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CorruptArtifact(f"{path} is not JSON ({error}); run the evaluation again") from None
