"""A run's whole configuration: frozen, typed, saved beside its results, and what `eval` reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from lass3d_core.compute.precision import Precision
from lass3d_core.errors import CorruptArtifact, ManifestError, MissingArtifact, UnknownName
from lass3d_core.files.fingerprint import Record, digest
from lass3d_core.files.json_files import read_json, write_json
from lass3d_core.nets import UNetConfig
from lass3d_core.settings import SETTINGS, WrongSettings, read, to_json
from lass3d_core.settings import with_settings as changed
from train.data.augment import AugmentConfig
from train.methods import MethodConfig, config_type, name_of
from train.optimiser import OptimConfig, ScheduleConfig

SCHEMA = 5
"""Version of config.json and of what a training step does; raised when either changes."""

OfMethod = TypeVar("OfMethod", bound=MethodConfig)


@dataclass(frozen=True, config=SETTINGS)
class DataConfig:
    """What a step sees: `accumulate` micro-batches, each of labelled_scans + unlabelled_scans scans.

    The defaults are what one of LaserMix's four GPUs sees outdoors.
    """

    labelled_scans: int = Field(default=2, ge=1, lt=2**16)  # per micro-batch
    unlabelled_scans: int = Field(default=2, ge=0, lt=2**16)  # per micro-batch
    # Batch norm takes labelled and unlabelled scans each by themselves, as two batches. Decision: the paper
    # does not say. LaserMix's and GPC's code passes them through the network one after the other. Together,
    # 2 000 steps on labels alone lost 7 mIoU at one seed by the mere presence of unlabelled scans
    # (docs/results.md).
    kinds_apart: bool = True
    panorama: bool = False  # extension: what cameras saw of several scans, see train/data/panorama.py
    accumulate: int = Field(default=1, ge=1, lt=2**16)  # micro-batches per step; their gradients are averaged
    voxel_m: float = Field(default=0.05, gt=0, lt=100)  # edge of a voxel, metres
    from_corner: bool = False  # coordinates start at each scan's least x, y and z instead of its own origin
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    workers: int = Field(
        default=4, ge=0, le=1024
    )  # processes that build batches; 0 = the training process itself


@dataclass(frozen=True, config=SETTINGS)
class RunConfig(Generic[OfMethod]):
    """Everything that decides a run, except the content of the data."""

    dataset: str
    preset: str
    ratio: float  # percent of the training scans that keep their labels
    seed: int
    method: OfMethod
    data: DataConfig = field(default_factory=DataConfig)
    net: UNetConfig = field(default_factory=UNetConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    # Of training's forward passes; evaluation is always in float32. See lass3d_core/compute/precision.py.
    # Decision: the precision belongs to the recipe, not to the machine. The published recipes say bfloat16,
    # the CPU demos float32, and either runs on both kinds of machine. If the default depended on the GPU, one
    # digest would stand for two results.
    precision: Precision = "float32"
    # Take only algorithms that give the same bits every time, see lass3d_core/compute/devices.py. Their price
    # on a GPU is not measured. A CPU gives the same bits without it.
    deterministic: bool = False
    note: str = ""  # where a preset departs from the paper, and why; shown with the results

    def __post_init__(self) -> None:
        if self.net.view == "range" and self.data.from_corner:
            raise ValueError(
                "net.view=range sees a scan from its sensor, at the origin. With data.from_corner=true, as "
                "in rooms, there is no sensor; take net.view=voxel"
            )

    @property
    def method_name(self) -> str:
        """The method's name on the command line."""
        return name_of(self.method)

    @property
    def name(self) -> str:
        """The run's folder without its tag: "lass3d-demo-r2-s0"."""
        return f"{self.method_name}-{self.preset}-r{self.ratio:g}-s{self.seed}"


@dataclasses.dataclass(frozen=True)
class SavedRun:
    """What config.json holds.

    pairs, split: digests of the training shards and of the choice of labelled scans.
    texts: of the text table; empty if the method reads no text. init: of the model that the run starts from.
    synonyms: of those in the manifest; empty if there are none, or the method reads none.
    class_names, feature_names: what the network predicts and sees.
    """

    config: RunConfig
    pairs: str
    split: str
    texts: str = ""
    init: str = ""
    synonyms: str = ""
    class_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()

    @property
    def record(self) -> Record:
        """What decides the run's result, comparable with another run's.

        Fields that do not change the result, but for rounding, are left out: the note, the number of workers,
        the number of scans that a validation sees, whether algorithms are deterministic, and, with labelled
        scans alone, whether the kinds of scans are kept apart.
        """
        config = replace(self.config, note="", data=replace(self.config.data, workers=0))
        params = to_json(config)
        del params["deterministic"], params["schedule"]["validate_scans"]
        if not config.data.unlabelled_scans or not config.data.kinds_apart:
            # Then the run is the same as before there was a choice.
            del params["data"]["kinds_apart"]
        # A method raises its revision if its code changes so that the same settings train other weights.
        revision = getattr(config.method, "revision", 0)
        return {
            "stage": "train",
            "schema": SCHEMA,
            "params": {"method_name": config.method_name, "revision": revision, **params},
            "inputs": {},
            "upstream": {
                "the set of training scans": self.pairs,
                "the choice of labelled scans": self.split,
                "the text table": self.texts,
                "the model of net.init": self.init,
                # Most manifests have none, and a run without any is the same as before they were read.
                **({"the set of synonyms": self.synonyms} if self.synonyms else {}),
            },
        }

    @property
    def digest(self) -> str:
        """The record's digest: runs with the same digest end with the same weights."""
        return digest(self.record)

    def save(self, path: Path) -> None:
        """Write config.json. Raises StorageError."""
        values = {
            "schema": SCHEMA,
            "pairs": self.pairs,
            "split": self.split,
            "texts": self.texts,
            "init": self.init,
            "synonyms": self.synonyms,
            "class_names": self.class_names,
            "feature_names": self.feature_names,
            "method_name": self.config.method_name,
            "config": to_json(self.config),
        }
        write_json(path, values)

    @classmethod
    def load(cls, path: Path) -> SavedRun:
        """Read what `save` wrote. Raises MissingArtifact, CorruptArtifact."""
        try:
            values = read_json(path)
            if values["schema"] != SCHEMA:
                raise CorruptArtifact(
                    f"{path} has schema {values['schema']}, this version reads {SCHEMA}; train again"
                )
            config = from_plain(values["config"], values["method_name"])
            return cls(
                config,
                pairs=str(values["pairs"]),
                split=str(values["split"]),
                texts=str(values["texts"]),
                init=str(values["init"]),
                synonyms=str(values["synonyms"]),
                class_names=tuple(map(str, values["class_names"])),
                feature_names=tuple(map(str, values["feature_names"])),
            )
        except FileNotFoundError:
            raise MissingArtifact(f'{path} is missing; run "make train" first, or see "make runs"') from None
        except (OSError, ValueError, KeyError, TypeError, UnknownName) as error:
            raise CorruptArtifact(
                f"{path} is no run configuration ({error}); restore it, or train again under another TAG"
            ) from error


def from_plain(values: dict[str, Any], method_name: str) -> RunConfig:
    """The inverse of `to_json` for a run of `method_name`. Raises WrongSettings, UnknownName.

    A run of before data.kinds_apart took both kinds of scans together.
    """
    if isinstance(values, dict) and isinstance(data := values.get("data"), dict):
        values = values | {"data": {"kinds_apart": False} | data}
    return read(_of_method(config_type(method_name)), values)


def with_settings(config: RunConfig, settings: Iterable[str]) -> RunConfig:
    """Copy `config` with every "key.key=value" of `settings` in place.

    Raises ManifestError naming all wrong ones.
    """
    settings = list(settings)
    keys = [setting.partition("=")[0].strip() for setting in settings]
    problems = [f"{key}: give {_FIXED[key]} instead" for key in keys if key in _FIXED]
    try:
        others = [setting for key, setting in zip(keys, settings) if key not in _FIXED]
        config = changed(config, others, _of_method(type(config.method)))
    except WrongSettings as error:
        problems += error.problems
    if problems:
        raise ManifestError(f"--set: {' | '.join(problems)}")
    return config


def _of_method(settings: type[MethodConfig]) -> type[RunConfig]:
    """The RunConfig of one method: all problems are reported at once, and those of other methods never."""
    return RunConfig[settings]  # type: ignore[valid-type]


# Keys of a RunConfig that have their own flag. The flag names the run's folder.
_FIXED = {
    "method": "--method",
    "dataset": "--dataset",
    "preset": "--preset",
    "ratio": "--ratio",
    "seed": "--seed",
    "note": "--tag",
}
