"""`data_manifest.yaml` as frozen dataclasses: which data, which language-vision models, which thresholds.

They are the file's schema; `reading.py` reads it, and `docs/formats.md` describes it for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lass3d_core.files.names import is_plain

SCHEMA = 1

LvmStage = Literal["image_captions", "entities", "text_embeddings"]


@dataclass(frozen=True)
class SimulateSpec:
    """A simulated world: `street` in SemanticKITTI's layout, `room` in ScanNet's; scans per split.

    Of the street: cameras (1 front, or 4 around), frames per drive. Of the room: RGB-D frames per scene.
    """

    world: Literal["street", "room"] = "street"
    train: int = 120
    val: int = 20
    test: int = 30
    seed: int = 0
    cameras: int = 1
    frames_per_drive: int = 1
    frames_per_room: int = 10

    def __post_init__(self) -> None:
        if min(self.train, self.val, self.test) < 1:
            raise ValueError("train, val and test must each be at least 1")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if self.cameras not in (1, 4):
            raise ValueError(f"cameras must be 1 (front) or 4 (around), got {self.cameras}")
        if min(self.frames_per_drive, self.frames_per_room) < 1:
            raise ValueError("frames_per_drive and frames_per_room must be at least 1")


@dataclass(frozen=True)
class SplitSpec:
    """Sequences or scenes of each split; an entry that ends in .txt is a file that lists them, one a line.

    test may lack labels.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.train and self.val):
            raise ValueError("train and val each need at least one sequence")
        everything = self.train + self.val + self.test
        twice = sorted({name for name in everything if everything.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} stands more than once; a sequence belongs to one split")


@dataclass(frozen=True)
class LabelledSpec:
    """Which training scans keep their labels at RATIO %.

    `nested`: ours, seeded and uniform. `lists`: published; ratio -> text file with one scan id a line.
    `contiguous`: sequence after sequence in `order`, each from its first scan on (GPC's outdoor protocol).
    name: of the protocol in every result, such as "uniform (IT2)"; empty for the protocol's own.
    """

    protocol: Literal["nested", "lists", "contiguous"] = "nested"
    lists: Mapping[str, Path] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        if (self.protocol == "lists") != bool(self.lists):
            raise ValueError("`lists` belongs to protocol 'lists', which needs it")
        if (self.protocol == "contiguous") != bool(self.order):
            raise ValueError("`order` (of the sequences) belongs to protocol 'contiguous', which needs it")


@dataclass(frozen=True)
class LvmSpec:
    """A language-vision model by name; `params` are checked by the adapter that owns the name."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EntitiesSpec(LvmSpec):
    """vocabulary: what the detector is asked for: the phrases that the captioner grounded in that image
    (`captions`), the words in `fixed`, or both. The label set is never the default."""

    vocabulary: Literal["captions", "fixed", "both"] = "captions"
    fixed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.vocabulary == "captions") == bool(self.fixed):
            raise ValueError("`fixed` lists words exactly when vocabulary is 'fixed' or 'both'")


@dataclass(frozen=True)
class PairsSpec:
    """How points get their pixels. See preprocess/stages/pairs.py.

    earlier_scans: how many scans before each one lend it their images; see
    preprocess/stages/earlier_views.py.
    """

    min_score: float = 0.3
    overlap: Literal["smallest_area", "highest_score"] = "smallest_area"
    visibility: Literal["zbuffer", "depth_map", "none"] = "zbuffer"
    splat_radius_px: int = 4
    depth_tolerance: float = 0.1
    depth_slack_m: float = 0.3
    grazing_deg: float = 4.5
    min_depth_m: float = 0.5
    max_views: int = 1
    earlier_scans: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.min_score <= 1:
            raise ValueError(f"min_score must lie in [0, 1], got {self.min_score}")
        if not 0 < self.grazing_deg <= 90:
            raise ValueError(f"grazing_deg must lie in (0, 90], got {self.grazing_deg}")
        if self.max_views < 1:
            raise ValueError(f"max_views must be at least 1, got {self.max_views}")
        if self.earlier_scans < 0:
            raise ValueError(f"earlier_scans must not be negative, got {self.earlier_scans}")
        if min(self.splat_radius_px, self.depth_tolerance, self.depth_slack_m, self.min_depth_m) < 0:
            raise ValueError(
                "splat_radius_px, depth_tolerance, depth_slack_m and min_depth_m must not be negative"
            )


@dataclass(frozen=True)
class FramesSpec:
    """RGB-D frames of a scene: every stride-th, from exported files, or straight from the .sens file.

    `any`: exported where they are, else .sens.
    """

    stride: int = 20
    source: Literal["any", "exported", "sens"] = "any"

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise ValueError(f"stride must be at least 1, got {self.stride}")


@dataclass(frozen=True)
class DatasetSpec:
    """One data set on disk. reader: the module of lass3d_core.datasets that reads its layout.

    views: image folders or cameras; empty for the reader's own choice (image_2; all six cameras). frames: of
    RGB-D data. version: folder of nuScenes' tables. The last four replace the manifest's for this data set.
    """

    reader: Literal["semantickitti", "scannet", "nuscenes"]
    root: Path
    splits: SplitSpec
    views: tuple[str, ...] = ()
    frames: FramesSpec = field(default_factory=FramesSpec)
    version: str = "v1.0-trainval"
    labelled: LabelledSpec = field(default_factory=LabelledSpec)
    simulate: SimulateSpec | None = None
    image_captions: LvmSpec | None = None
    entities: EntitiesSpec | None = None
    text_embeddings: LvmSpec | None = None
    pairs: PairsSpec | None = None

    def __post_init__(self) -> None:
        if not is_plain(self.version):
            raise ValueError(f"version must name a folder below root, got {self.version!r}")
        layout = {"street": "semantickitti", "room": "scannet"}
        if self.simulate is not None and layout[self.simulate.world] != self.reader:
            world = self.simulate.world
            raise ValueError(f"the simulated {world} is written for reader {layout[world]!r}")


@dataclass(frozen=True)
class Manifest:
    """The whole file. Relative paths in it are relative to the file.

    caption_splits: whose images the language-vision models look at. Decision: not those of the test split,
    which are half of SemanticKITTI: training reads the texts of train, a person looks at those of val.
    """

    schema: int
    default: str
    datasets: Mapping[str, DatasetSpec]
    image_captions: LvmSpec
    entities: EntitiesSpec
    text_embeddings: LvmSpec
    caption_splits: tuple[Literal["train", "val", "test"], ...] = ("train", "val")
    pairs: PairsSpec = field(default_factory=PairsSpec)
    artifacts: Path = Path("artifacts")
    runs: Path = Path("runs")
    shard_scans: int = 64
    max_failures: float = 0.01
    compact: bool = False
    workers: int = 0
    engine: Literal["local", "ray"] = "local"
    ray_address: str = "auto"

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise ValueError(f"schema is {self.schema}, this version reads {SCHEMA}")
        for name, spec in self.datasets.items():
            if (spec.pairs or self.pairs).earlier_scans and spec.reader != "semantickitti":
                raise ValueError(
                    f"pairs.earlier_scans: the reader {spec.reader} of {name} knows no poses of scans; "
                    f"give datasets.{name} a block `pairs` of its own, without it"
                )
        if "train" not in self.caption_splits:
            raise ValueError("caption_splits must name train, whose texts the training reads")
        if self.shard_scans < 1:
            raise ValueError(f"shard_scans must be at least 1, got {self.shard_scans}")
        if not 0 <= self.max_failures <= 1:
            raise ValueError(
                f"max_failures is a share of the images and must lie in [0, 1], got {self.max_failures}"
            )
        if self.workers < 0:
            raise ValueError(f"workers must not be negative (0 = one per core), got {self.workers}")

    def artifacts_of(self, dataset: str) -> Path:
        """Folder of everything that preprocess writes for `dataset`."""
        return self.artifacts / dataset
