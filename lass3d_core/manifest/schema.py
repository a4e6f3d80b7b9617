"""`data_manifest.yaml` as frozen dataclasses: which data, which language-vision models, which thresholds.

They are the file's schema. `reading.py` reads it, and `docs/formats.md` describes it for people.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict, ValidationInfo
from pydantic.dataclasses import dataclass

from lass3d_core import plugins
from lass3d_core.files.names import is_plain
from lass3d_core.manifest.classes import ClassesSpec
from lass3d_core.settings import SETTINGS, nearest

READERS = ("semantickitti", "scannet", "nuscenes", "plain")
"""The readers in lass3d_core/datasets. Other packages bring further ones, see lass3d_core/plugins."""

SCHEMA = 1

LvmStage = Literal["image_captions", "entities", "text_embeddings"]


def absolute(folder: Path, path: str | Path) -> Path:
    """`path`, which may start with ~, as seen from `folder`."""
    return folder / os.path.expanduser(path)  # noqa: PTH111 - lets an unknown ~user pass


def _path_in_file(path: Any, info: ValidationInfo) -> Any:
    if path == "":
        raise ValueError("expected a path, got ''")
    # A file gives the folder that its paths start at; a manifest that is made in code has none.
    if not info.context or not isinstance(path, (str, Path)):
        return path
    return str(absolute(info.context["folder"], path))


def _sequence(name: str, info: ValidationInfo) -> str:
    return _path_in_file(name, info) if name.endswith(".txt") else name


def _folder_name(name: str) -> str:
    if not is_plain(name):
        raise ValueError(f"{name!r} is no name of a folder")
    return name


def _reader(name: str) -> str:
    known = (*READERS, *plugins.names("readers"))
    if name not in known:
        raise ValueError(f"{name!r} is not one of {', '.join(known)}{nearest(name, known)}")
    return name


# Not strict: pydantic makes the path from the text that the validator returns.
PathInFile = Annotated[Path, Strict(False), BeforeValidator(_path_in_file)]
Sequence = Annotated[str, AfterValidator(_sequence)]  # or a .txt file that lists some
FolderName = Annotated[str, AfterValidator(_folder_name)]


@dataclass(frozen=True, config=SETTINGS)
class SimulateSpec:
    """A simulated world: `street` in SemanticKITTI's layout, `room` in ScanNet's."""

    world: Literal["street", "room"] = "street"
    train: int = Field(default=120, ge=1)  # scans of the split
    val: int = Field(default=20, ge=1)
    test: int = Field(default=30, ge=1)
    seed: int = Field(default=0, ge=0)
    cameras: Literal[1, 4] = 1  # of the street: 1 to the front, or 4 around
    frames_per_drive: int = Field(default=1, ge=1)  # of the street
    frames_per_room: int = Field(default=10, ge=1)  # of the room: RGB-D frames per scene


@dataclass(frozen=True, config=SETTINGS)
class SplitSpec:
    """Sequences or scenes of each split; an entry that ends in .txt is a file that lists them, one a line."""

    train: tuple[Sequence, ...] = Field(min_length=1)
    val: tuple[Sequence, ...] = ()  # without it nothing is evaluated during training
    test: tuple[Sequence, ...] = ()  # may lack labels

    def __post_init__(self) -> None:
        everything = self.train + self.val + self.test
        twice = sorted({name for name in everything if everything.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} stands more than once; a sequence belongs to one split")


@dataclass(frozen=True, config=SETTINGS)
class LabelledSpec:
    """Which training scans keep their labels at RATIO %.

    `nested`: ours, drawn evenly by the run's seed; a smaller ratio's scans are among a larger one's.
    `lists`: published text files, one for each ratio, with one scan id a line.
    `contiguous`: sequence after sequence in `order`, each from its first scan on (GPC's outdoor protocol).
    """

    protocol: Literal["nested", "lists", "contiguous"] = "nested"
    lists: Mapping[str, PathInFile] = field(default_factory=dict)  # ratio in percent -> file
    order: tuple[str, ...] = ()
    name: str = ""  # stands beside every result, such as "uniform (IT2)"; empty: the protocol's name

    def __post_init__(self) -> None:
        if (self.protocol == "lists") != bool(self.lists):
            raise ValueError("`lists` belongs to protocol 'lists', which needs it")
        if (self.protocol == "contiguous") != bool(self.order):
            raise ValueError("`order` (of the sequences) belongs to protocol 'contiguous', which needs it")


@dataclass(frozen=True, config=SETTINGS)
class LvmSpec:
    """A language-vision model by name. The adapter of that name checks `params`."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, config=SETTINGS)
class EntitiesSpec(LvmSpec):
    """The detector and its vocabulary.

    `captions`: the phrases that the captioner grounded in that image. `fixed`: the words in `fixed`.
    `both`: both of them. The label set is never the default.
    looks: how each image is shown beside whole, see preprocess/stages/looks.py.
    """

    vocabulary: Literal["captions", "fixed", "both"] = "captions"
    fixed: tuple[str, ...] = ()
    looks: tuple[Literal["mirrored", "tiled"], ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.looks)) < len(self.looks):
            raise ValueError("a look stands more than once in `looks`")
        if (self.vocabulary == "captions") == bool(self.fixed):
            raise ValueError("`fixed` lists words exactly when vocabulary is 'fixed' or 'both'")


@dataclass(frozen=True, config=SETTINGS)
class VoteSpec:
    """A vote on the phrase of each point, see preprocess/stages/votes.py. The defaults: of its own views."""

    earlier: int = Field(default=0, ge=0)  # how many scans before each one vote too
    later: int = Field(default=0, ge=0)  # and after it
    stride: int = Field(default=1, ge=1)  # of those scans, every stride-th one
    voxel_m: float = Field(default=0.3, gt=0)
    phrases: int = Field(default=4, ge=1, le=8)  # that a point keeps
    min_margin: float = Field(default=0.0, ge=0, le=1)  # below it a point keeps no phrase

    def __post_init__(self) -> None:
        farthest = max(self.earlier, self.later)
        if farthest and self.stride > farthest:
            raise ValueError(f"`stride` {self.stride} leaves none of {farthest} scans")

    @property
    def other_scans(self) -> bool:
        """Whether other scans than the one at hand vote, which needs poses."""
        return self.earlier + self.later > 0


@dataclass(frozen=True, config=SETTINGS)
class PairsSpec:
    """How points get their pixels, see preprocess/stages/pairs.py."""

    min_score: float = Field(default=0.3, ge=0, le=1)
    overlap: Literal["smallest_area", "highest_score"] = "smallest_area"
    visibility: Literal["zbuffer", "depth_map", "none"] = "zbuffer"
    splat_radius_px: int = Field(default=4, ge=0)
    depth_tolerance: float = Field(default=0.1, ge=0)
    depth_slack_m: float = Field(default=0.3, ge=0)
    grazing_deg: float = Field(default=4.5, gt=0, le=90)
    min_depth_m: float = Field(default=0.5, ge=0)
    max_views: int = Field(default=1, ge=1)
    # How many scans before each one lend it their images, see preprocess/stages/earlier_views.py.
    earlier_scans: int = Field(default=0, ge=0)
    vote: VoteSpec | None = None  # None: a single view names a point

    def __post_init__(self) -> None:
        if self.vote is not None and self.earlier_scans:
            raise ValueError("`vote` has its own `earlier` scans; leave out `earlier_scans`")


@dataclass(frozen=True, config=SETTINGS)
class FramesSpec:
    """RGB-D frames of a scene: every stride-th one."""

    stride: int = Field(default=20, ge=1)
    # The exported files, the .sens file, or (`any`) the .sens file if no files were exported.
    source: Literal["any", "exported", "sens"] = "any"


@dataclass(frozen=True, config=SETTINGS)
class DatasetSpec:
    """One data set on disk. The last four fields replace the manifest's for this data set.

    columns, intensity_scale, unit_m, origin: of the point files of `plain` and `semantickitti`, see
        lass3d_core/datasets/points.py.
    """

    reader: Annotated[str, AfterValidator(_reader)]  # a folder of lass3d_core/datasets, or brought
    root: PathInFile
    splits: SplitSpec
    # Image folders or cameras. None: image_2, all six cameras, or every folder. Empty: no image is used.
    views: tuple[str, ...] | None = None
    classes: ClassesSpec = field(default_factory=ClassesSpec)
    columns: tuple[str, ...] = ()  # of files without names; empty: recognised
    features: tuple[str, ...] | None = None  # columns that are features; None: intensity, or the colours
    intensity_scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)  # stored intensity of the value 1
    unit_m: float = Field(default=1.0, gt=0, allow_inf_nan=False)  # metres per unit of x, y and z
    # x, y, z, in the file's unit, that become 0: single precision holds no map coordinates.
    origin: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = ()
    label_column: str = ""  # of clouds with labels inside; empty: a usual name, see plain/reader.py
    max_time_gap_s: float = Field(default=0.05, ge=0)  # between a scan and its image, if names are times
    frames: FramesSpec = field(default_factory=FramesSpec)  # of RGB-D data
    version: FolderName = "v1.0-trainval"  # folder of nuScenes' tables
    labelled: LabelledSpec = field(default_factory=LabelledSpec)
    simulate: SimulateSpec | None = None
    image_captions: LvmSpec | None = None
    entities: EntitiesSpec | None = None
    text_embeddings: LvmSpec | None = None
    pairs: PairsSpec | None = None

    def __post_init__(self) -> None:
        layout = {"street": "semantickitti", "room": "scannet"}
        if self.simulate is not None and layout[self.simulate.world] != self.reader:
            world = self.simulate.world
            raise ValueError(f"the simulated {world} is written for reader {layout[world]!r}")
        if self.reader == "plain" and not self.classes.ids:
            raise ValueError("the reader plain has no official classes; give `classes: {ids: {NAME: ID}}`")
        if self.origin and len(self.origin) != 3:
            raise ValueError("`origin` must be x, y and z")
        if self.reader in ("scannet", "nuscenes"):
            _require_defaults(self, ("columns", "features", "intensity_scale", "unit_m", "origin"))
        if self.reader != "plain":
            _require_defaults(self, ("label_column", "max_time_gap_s"))


def _require_defaults(spec: DatasetSpec, keys: tuple[str, ...]) -> None:
    """Raise ValueError if one of the keys is set: the layout of the reader fixes it."""
    default = {one.name: one for one in fields(DatasetSpec)}
    for key in keys:
        unset = default[key].default
        if getattr(spec, key) != getattr(unset, "default", unset):
            raise ValueError(f"`{key}` is not for the reader {spec.reader}, whose layout fixes it")


@dataclass(frozen=True, config=SETTINGS)
class Manifest:
    """The whole file. Relative paths in it are relative to the file."""

    schema: int
    default: str
    datasets: Mapping[FolderName, DatasetSpec]
    image_captions: LvmSpec
    entities: EntitiesSpec
    text_embeddings: LvmSpec
    # Whose images the language-vision models look at. Decision: not the test split's, which is half of
    # SemanticKITTI. Training reads the texts of train, and a person looks at those of val.
    caption_splits: tuple[Literal["train", "val", "test"], ...] = ("train", "val")
    pairs: PairsSpec = field(default_factory=PairsSpec)
    artifacts: PathInFile = Field(default=Path("artifacts"), validate_default=True)
    runs: PathInFile = Field(default=Path("runs"), validate_default=True)
    shard_scans: int = Field(default=64, ge=1)
    max_failures: float = Field(default=0.01, ge=0, le=1)  # a share of the images
    compact: bool = False
    workers: int = Field(default=0, ge=0)  # 0: one per core
    engine: Literal["local", "ray"] = "local"
    ray_address: str = "auto"

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise ValueError(f"schema is {self.schema}, this version reads {SCHEMA}")
        if "train" not in self.caption_splits:
            raise ValueError("caption_splits must name train, whose texts the training reads")

    def artifacts_of(self, dataset: str) -> Path:
        """Folder of everything that preprocess writes for `dataset`."""
        return self.artifacts / dataset
