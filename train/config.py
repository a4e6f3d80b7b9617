"""A run's whole configuration: frozen, typed, saved beside its results, and what `eval` reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lass3d_core.compute.precision import Precision
from lass3d_core.errors import CorruptArtifact, ManifestError, MissingArtifact, UnknownName
from lass3d_core.files.fingerprint import Record, digest
from lass3d_core.files.json_files import read_json, write_json
from lass3d_core.nets import UNetConfig
from lass3d_core.typed import build, parse_setting, replace_at, to_json
from train.data.augment import AugmentConfig
from train.data.misnamed import StressConfig
from train.methods import MethodConfig, config_type, name_of
from train.methods.parts.band_mix import BandMixConfig
from train.methods.parts.text_branch import TextBranchConfig
from train.optimiser import OptimConfig, ScheduleConfig

SCHEMA = 3
"""Of config.json and of what a training step means; raised when either changes."""


@dataclass(frozen=True)
class DataConfig:
    """What a step sees: `accumulate` micro-batches, each of labelled_scans + unlabelled_scans scans.

    The defaults are what one of LaserMix's four GPUs sees outdoors.
    """

    labelled_scans: int = 2  # per micro-batch
    unlabelled_scans: int = 2  # per micro-batch
    panorama: bool = False  # extension: what cameras saw of several scans, see train/data/panorama.py
    stress: StressConfig = field(default_factory=StressConfig)  # phrases that are wrong on purpose
    accumulate: int = 1  # micro-batches per step, whose gradients are averaged; see train/loop.py
    voxel_m: float = 0.05  # edge of a voxel, metres
    from_corner: bool = False  # coordinates count from each scan's least x, y and z, not from its own origin
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    workers: int = 4  # processes that build batches; 0 = the training process itself

    def __post_init__(self) -> None:
        if min(self.labelled_scans, self.accumulate) < 1:
            raise ValueError(
                "labelled_scans and accumulate must be at least 1, "
                f"got {self.labelled_scans} and {self.accumulate}"
            )
        if min(self.unlabelled_scans, self.workers) < 0:
            raise ValueError("unlabelled_scans and workers must not be negative")
        if not 0 < self.voxel_m < 100:
            raise ValueError(f"voxel_m is in metres and must lie in (0, 100), got {self.voxel_m}")


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run, but for the data's content.

    ratio: percent of the training scans that keep their labels. precision: of training's forward passes;
    evaluation is always in float32. note: where a preset departs from the paper, and why; shown with the
    results.

    Decision: the precision is part of the recipe, not of the machine. The published recipes say bfloat16, the
    CPU demos float32, and either runs on both kinds of machine; a default that looked for a GPU would let
    one digest stand for two results.
    """

    dataset: str
    preset: str
    ratio: float
    seed: int
    method: MethodConfig
    data: DataConfig = field(default_factory=DataConfig)
    net: UNetConfig = field(default_factory=UNetConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    precision: Precision = "float32"  # see lass3d_core/compute/precision.py
    note: str = ""

    def __post_init__(self) -> None:
        if self.net.view == "range" and self.data.from_corner:
            raise ValueError(
                "net.view=range sees a scan from its sensor, at the origin, and with data.from_corner=true, "
                "as rooms have it, there is none; take net.view=voxel"
            )

    @property
    def method_name(self) -> str:
        """The method's name on the command line."""
        return name_of(self.method)

    @property
    def name(self) -> str:
        """The run's folder, but for a tag: "lass3d-demo-r2-s0"."""
        return f"{self.method_name}-{self.preset}-r{self.ratio:g}-s{self.seed}"


@dataclass(frozen=True)
class SavedRun:
    """What config.json holds. pairs, split: digests of the pairs and of the choice of labelled scans."""

    config: RunConfig
    pairs: str
    split: str

    @property
    def record(self) -> Record:
        """What decides the run's result, comparable with that of another one.

        Left out is what decides nothing: the note, the number of workers, on which no batch depends, and of
        voxels, which are the usual view, the range image that is not made, and an extension that is off.
        A method whose code was changed so that the same settings train other weights says so by a `revision`
        in its configuration's class: what it trained before is then told from what it would train now.
        """
        config = replace(self.config, note="", data=replace(self.config.data, workers=0))
        params = {"method_name": config.method_name, **to_json(config)}
        if config.net.view == "voxel":
            del params["net"]["view"], params["net"]["image"]
        for name, usual in (("panorama", False), ("stress", StressConfig())):
            if getattr(config.data, name) == usual:
                del params["data"][name]
        for name, off in (("text", TextBranchConfig()), ("mix", BandMixConfig())):
            if getattr(config.method, name, None) == off:
                del params["method"][name]
        text = params["method"].get("text", {})
        if text.get("dropout") == 0:  # younger than the extension that it is a part of
            del text["dropout"]
        if revision := getattr(config.method, "revision", 0):
            params["method"]["revision"] = revision
        return {
            "stage": "train",
            "schema": SCHEMA,
            "params": params,
            "inputs": {},
            "upstream": {"the pairs": self.pairs, "the choice of labelled scans": self.split},
        }

    @property
    def digest(self) -> str:
        """Of the record: runs with the same digest end with the same weights."""
        return digest(self.record)

    def save(self, path: Path) -> None:
        """Write config.json. Raises StorageError."""
        values = {
            "schema": SCHEMA,
            "pairs": self.pairs,
            "split": self.split,
            "method_name": self.config.method_name,
            "config": to_json(self.config),
        }
        write_json(path, values)

    @classmethod
    def load(cls, path: Path) -> SavedRun:
        """What `save` wrote. Raises MissingArtifact, CorruptArtifact."""
        try:
            values = read_json(path)
            if values["schema"] != SCHEMA:
                raise CorruptArtifact(
                    f"{path} has schema {values['schema']}, this version reads {SCHEMA}; train again"
                )
            config = from_plain(values["config"], values["method_name"])
            return cls(config, str(values["pairs"]), str(values["split"]))
        except FileNotFoundError:
            raise MissingArtifact(f'{path} is missing; run "make train" first') from None
        except (OSError, ValueError, KeyError, TypeError, ManifestError, UnknownName) as error:
            raise CorruptArtifact(
                f"{path} is no run configuration ({error}); delete its folder and train again"
            ) from error


def from_plain(values: dict[str, Any], method_name: str) -> RunConfig:
    """The inverse of `typed.plain` for a run of `method_name`. Raises ManifestError, UnknownName."""
    problems: list[str] = []
    method = build(config_type(method_name), values["method"], "method", problems)
    config = None if method is None else build(RunConfig, {**values, "method": method}, "", problems)
    if config is None:
        raise ManifestError(" | ".join(problems))
    return config


def with_settings(config: RunConfig, settings: Iterable[str]) -> RunConfig:
    """`config` with every "key.key=value" of `settings`. Raises ManifestError naming all wrong ones."""
    problems: list[str] = []
    for setting in settings:
        try:
            keys, value = parse_setting(setting)
        except ValueError as error:
            problems.append(str(error))
            continue
        if len(keys) == 1 and keys[0] in _FIXED:
            problems.append(f"{keys[0]}: give {_FIXED[keys[0]]} instead")
            continue
        found: list[str] = []
        config = replace_at(config, keys, value, "", found)
        problems += found
    if problems:
        raise ManifestError(f"--set: {' | '.join(problems)}")
    return config


_FIXED = {
    "method": "--method",
    "dataset": "--dataset",
    "preset": "--preset",
    "ratio": "--ratio",
    "seed": "--seed",
    "note": "--tag",
}
"""Keys of a RunConfig that have a flag of their own, which names the run's folder."""
