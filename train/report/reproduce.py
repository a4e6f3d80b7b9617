"""The settings of a run beside the paper's, and the commands that make the run again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lass3d_core.settings import to_json
from train.config import RunConfig
from train.presets import PRESETS, published_beside
from train.report.runs import RunRecord


@dataclass(frozen=True)
class Setting:
    """One setting of a run, in words. papers: the paper's value if the run's value differs from it."""

    key: str
    value: str
    papers: str | None = None


def setup(run: RunRecord) -> dict[str, list[Setting]]:
    """What ran: settings that differ from the paper's preset, the others, environment and fingerprints."""
    entries = settings(run.config)
    peak = run.log.get("peak_memory_gib", np.empty(0))
    memory = {"peak memory": f"{peak.max():.2f} GiB"} if len(peak) else {}
    identity = {"pairs": run.saved.pairs[:16], "run": run.saved.digest[:16]}
    ran = flat(run.environment) | memory | identity
    return {
        "changed": [entry for entry in entries if entry.papers is not None],
        "same": [entry for entry in entries if entry.papers is None],
        "environment": [Setting(key, worded(value)) for key, value in ran.items()],
    }


def settings(config: RunConfig) -> list[Setting]:
    """Every setting of the run by its path, with the paper's value if that is another one."""
    papers = published_beside(config.preset)(config.dataset, config.method_name, config.ratio, config.seed)
    here, there = flat(to_json(config)), flat(to_json(papers))
    return [
        Setting(key, worded(value), None if value == there.get(key) else worded(there.get(key)))
        for key, value in here.items()
        if key not in ("note", "preset")
    ]


def commands(run: RunRecord) -> list[str]:
    """Shell commands that lead to `run`, from the captions to the report."""
    config = run.config
    data = f"DATASET={shlex.quote(config.dataset)}"
    choice = [f"METHOD={config.method_name}", f"PRESET={config.preset}"]
    choice += [f"RATIO={config.ratio:g}", f"SEED={config.seed}"]
    tag = run.folder.name.removeprefix(config.name).removeprefix("-")
    if tag:
        choice.append(f"TAG={shlex.quote(tag)}")
    if changed := _beyond_preset(config):
        choice.append(f"SET={shlex.quote(' '.join(changed))}")
    return [
        f"make captions pairs {data}",
        *[f"make {what} {data} {' '.join(choice)}" for what in ("train", "eval", "report")],
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


def _beyond_preset(config: RunConfig) -> list[str]:
    """The settings that differ from the run's preset, as --set takes them."""
    if config.preset not in PRESETS:
        return []
    preset = PRESETS[config.preset](config.dataset, config.method_name, config.ratio, config.seed)
    usual, own = flat(to_json(preset)), flat(to_json(config))
    return [
        f"{key}={value if isinstance(value, str) else json.dumps(value, separators=(',', ':'))}"
        for key, value in own.items()
        if usual.get(key) != value
    ]
