"""`make runs`: what was trained, a line each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lass3d_core.errors import CorruptArtifact, Lass3dError, MissingArtifact, UnknownName
from lass3d_core.files.names import shortened
from lass3d_core.paper.metrics import rule_in_words
from lass3d_core.settings import to_json
from train.config import RunConfig, SavedRun
from train.evaluate import Metrics
from train.presets import PRESETS
from train.report.words import percent
from train.runs.run_folder import RunFolder


@dataclass(frozen=True)
class ListedRun:
    """A run's folder.

    saved: None if it cannot be read, and `problem` says why. changed: settings that are not the preset's.
    metrics: by split, "val" and "test"; None if it was not evaluated. is_whole: whether the model is there.
    """

    folder: Path
    saved: SavedRun | None
    problem: str
    metrics: dict[str, Metrics | None]
    is_whole: bool
    changed: tuple[str, ...]
    modified: float
    size: int

    @property
    def tag(self) -> str:
        """The end of the folder's name, behind what the configuration gives."""
        return "" if self.saved is None else self.folder.name.removeprefix(self.saved.config.name).lstrip("-")


def listed_runs(runs: Path) -> list[ListedRun]:
    """The runs below `runs`, the oldest first."""
    folders = sorted(path.parent for path in runs.glob("*/*/config.json"))
    return sorted(map(_listed, folders), key=lambda run: run.modified)


def runs_table(runs: list[ListedRun], base: Path) -> str:
    """The runs as a table. base: folders are shown relative to it. Settings stand on a line of their own."""
    if not runs:
        return "no runs yet; train one with `make demo` or `make train`"
    header = ("run", "data", "ratio", "seed", "tag", "val", "test", "size", "when")
    rows = [_row(run, base) for run in runs]
    widths = [max(len(row[place]) for row in (header, *rows)) for place in range(len(header))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(header, widths)).rstrip()]
    for run, row in zip(runs, rows):
        lines.append("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip())
        lines += [f"    {line}" for line in _remarks(run)]
    rules = {one.absent for run in runs for one in run.metrics.values() if one is not None}
    if rules:
        means = " or ".join(rule_in_words(rule) for rule in sorted(rules))
        lines.append(f"val, test: mIoU in %, by the official rule of the data ({means})")
    return "\n".join(lines)


def changed_settings(config: RunConfig) -> tuple[str, ...]:
    """The settings of `config` that differ from its preset's, as `key.key=value`."""
    preset = PRESETS.get(config.preset)
    if preset is None:
        return ()
    try:
        usual = preset(config.dataset, config.method_name, config.ratio, config.seed)
    except (Lass3dError, ValueError):
        return ()
    return tuple(_differences(to_json(config), to_json(usual), ""))


def _differences(ours: object, usual: object, path: str) -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(usual, dict):
        for key, value in ours.items():
            if not (path == "" and key in ("note", "preset")):
                yield from _differences(value, usual.get(key), f"{path}.{key}".lstrip("."))
    elif ours != usual:
        yield f"{path}={ours}".replace(" ", "")


def _listed(folder: Path) -> ListedRun:
    saved, problem = None, ""
    try:
        saved = SavedRun.load(folder / "config.json")
    except (CorruptArtifact, MissingArtifact, UnknownName) as error:
        problem = str(error)
    files = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return ListedRun(
        folder,
        saved,
        problem,
        {split: _metrics(folder / f"metrics-{split}.json") for split in ("val", "test")},
        RunFolder(folder).model.is_file(),
        changed_settings(saved.config) if saved else (),
        max(one.st_mtime for one in files),
        sum(one.st_size for one in files),
    )


def _metrics(path: Path) -> Metrics | None:
    try:
        return Metrics.load(path)
    except (CorruptArtifact, MissingArtifact):
        return None


def _row(run: ListedRun, base: Path) -> tuple[str, ...]:
    place = shortened(run.folder, base)
    config = run.saved.config if run.saved else None
    chosen = (config.dataset, f"{config.ratio:g} %", str(config.seed)) if config else ("?", "?", "?")
    figures = tuple(percent(one.miou_official if one else None, "-") for one in run.metrics.values())
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.modified))
    return (str(place), *chosen, run.tag, *figures, f"{run.size / 1e6:.1f} MB", when)


def _remarks(run: ListedRun) -> Iterator[str]:
    if run.problem:
        yield run.problem
    elif run.metrics["val"] is None and not run.is_whole:
        yield "not finished: RESUME=1 goes on"
    yield from (one.partly_labelled for one in run.metrics.values() if one and one.partly_labelled)
    if run.changed:
        yield " ".join(run.changed)
