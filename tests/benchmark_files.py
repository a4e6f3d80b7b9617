"""Tiny data sets of the three benchmarks: truth files, pair shards of the same scans, a manifest.

Letters: N points of a scan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lass3d_core.datasets import Submission, submission_of
from lass3d_core.files.pair_index import IndexedShard, LabelledLists, PairIndex, write_index
from lass3d_core.files.shards import ShardHeader, write_shard
from lass3d_core.labels import IGNORE
from lass3d_core.manifest.schema import DatasetSpec, SplitSpec
from lass3d_core.records import PairedScan, PointTextPairs
from tests.text_tables import TextTable, write_text_table

READERS = ("semantickitti", "scannet", "nuscenes")
TINY = (
    "schedule.steps=20",
    "schedule.validate_every=20",
    "schedule.checkpoint_every=20",
    "data.augment.keep=1",
    "optim.peak_lr=0.03",
    "net.stem=4",
    "net.encoder=[6, 6, 6]",
    "net.decoder=[6, 6, 6]",
)
"""Settings that turn the demo preset into one that takes seconds and learns something."""

_SPLITS = SplitSpec(("00",), ("08",), tuple(str(sequence) for sequence in range(11, 22)))
_FEATURES = {"semantickitti": ("remission",), "scannet": ("red", "green", "blue"), "nuscenes": ("intensity",)}


def spec_of(reader: str, root: Path = Path()) -> DatasetSpec:
    """A data set of that reader; the splits are those of SemanticKITTI, with one training sequence."""
    return DatasetSpec(reader, root, _SPLITS)


def scan_ids_of(reader: str) -> dict[str, tuple[str, ...]]:
    """Split -> scan ids in the form of the reader: six, two, and eleven without labels."""
    match reader:
        case "semantickitti":
            test = tuple(f"{sequence}/000000" for sequence in range(11, 22))
            return {
                "train": tuple(f"00/{frame:06d}" for frame in range(6)),
                "val": ("08/000000", "08/000001"),
                "test": test,
            }
        case "scannet":
            names, form = {"train": (0, 6), "val": (11, 13), "test": (707, 718)}, "scene{0:04d}_00"
        case _:
            names, form = {"train": (1, 7), "val": (12, 14), "test": (77, 88)}, "scene-{0:04d}/000-{0:032x}"
    return {split: tuple(form.format(number) for number in range(*of)) for split, of in names.items()}


@dataclass(frozen=True)
class TinyBenchmark:
    """A folder with a manifest, the official truth files and the pair shards of one benchmark."""

    root: Path
    reader: str

    @property
    def spec(self) -> DatasetSpec:
        return spec_of(self.reader, self.data)

    @property
    def submission(self) -> Submission:
        return submission_of(self.spec)

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts" / "tiny"

    @property
    def run(self) -> Path:
        return self.root / "runs" / "tiny" / "supervised-demo-r100-s0"

    def arguments(self, command: str, *more: str) -> list[str]:
        """The command line, without the program, that names the run."""
        naming = ["--method", "supervised", "--preset", "demo", "--ratio", "100"]
        return [command, "--manifest", str(self.root / "data_manifest.yaml"), *naming, *more]

    def training(self) -> list[str]:
        """The command line that trains it in seconds."""
        return self.arguments("run", *(word for setting in TINY for word in ("--set", setting)))


def write_benchmark(root: Path, reader: str) -> TinyBenchmark:
    """Write everything; the scans of the test split have no labels."""
    project = TinyBenchmark(root, reader)
    project.data.mkdir(parents=True)
    splits = f"{{train: {list(_SPLITS.train)}, val: {list(_SPLITS.val)}, test: {list(_SPLITS.test)}}}"
    (root / "data_manifest.yaml").write_text(
        f"schema: 1\ndefault: tiny\ndatasets:\n  tiny: {{reader: {reader}, root: data, splits: {splits}}}\n"
        "image_captions: {name: palette}\nentities: {name: palette}\ntext_embeddings: {name: hashing}\n"
    )
    shards = []
    for split, scan_ids in scan_ids_of(reader).items():
        scans = [_scan(project, scan_id, split != "test") for scan_id in scan_ids]
        header = _header(project, split)
        write_shard(project.artifacts / "pairs" / f"{split}.h5", header, scans)
        shards.append(IndexedShard(f"{split}.h5", split, len(scans), header.fingerprint))
    names = project.submission.label_space.names
    write_index(
        project.artifacts / "pairs", PairIndex("tiny", names, LabelledLists("nested", {}), tuple(shards))
    )
    write_text_table(project.artifacts / "text_embeddings.h5", _table(), _record("text_embeddings"))
    return project


def write_truth(data: Path, reader: str, scan_id: str, raw: np.ndarray) -> None:
    """The raw ids (N,) where the official evaluator of the benchmark looks for the truth."""
    if reader == "scannet":
        path, content = data / "gt" / f"{scan_id}.txt", "".join(f"{one}\n" for one in raw).encode()
    elif reader == "nuscenes":
        name = f"{scan_id.rpartition('-')[2]}_lidarseg.bin"
        path, content = data / "lidarseg" / "v1.0-trainval" / name, raw.astype(np.uint8).tobytes()
    else:
        sequence, frame = scan_id.split("/")
        instance = np.arange(len(raw), dtype=np.uint32) % 7 << 16
        path = data / "sequences" / sequence / "labels" / f"{frame}.label"
        content = (raw.astype("<u4") | instance).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def raw_ids_of(mapping: Mapping[int, int]) -> np.ndarray:
    """Every raw id, those that are ignored as well."""
    return np.array(sorted(mapping))


def _scan(project: TinyBenchmark, scan_id: str, labelled: bool) -> PairedScan:
    """Tufts of the first four classes and of what is ignored; height and brightness follow the class."""
    rng = np.random.default_rng(list(scan_id.encode()))
    space = project.submission.label_space
    raw_of = {
        wanted: [raw for raw, train_id in space.train_id_of_raw.items() if train_id == wanted]
        for wanted in (0, 1, 2, 3, IGNORE)
    }
    raw = np.repeat([rng.choice(raw_of[wanted]) for wanted in (0, 1, 2, 3, 0, 1, 2, IGNORE)], 20)
    labels = space.train_ids(raw, scan_id)
    height = np.where(labels == IGNORE, 1, labels).astype(float)
    centre = np.repeat(rng.uniform(-8, 8, (8, 2)), 20, axis=0)
    points = np.column_stack([centre, height]) + rng.uniform(-0.3, 0.3, (len(raw), 3))
    features = np.repeat(height[:, None] / 4, len(_FEATURES[project.reader]), axis=1)
    if labelled:
        write_truth(project.data, project.reader, scan_id, raw)
    _write_points(project, scan_id, points)
    pairs = PointTextPairs(
        np.full((len(raw), 1), -1, np.int16), np.full(len(raw), -1, np.int16), ("image",), ("thing",)
    )
    return PairedScan(
        scan_id,
        points.astype(np.float32),
        features.astype(np.float32),
        labels if labelled else None,
        pairs,
    )


def _write_points(project: TinyBenchmark, scan_id: str, points: np.ndarray) -> None:
    """SemanticKITTI's validation counts the points of the scans."""
    if project.reader == "semantickitti":
        sequence, frame = scan_id.split("/")
        folder = project.data / "sequences" / sequence / "velodyne"
        folder.mkdir(parents=True, exist_ok=True)
        np.pad(points, ((0, 0), (0, 1))).astype("<f4").tofile(folder / f"{frame}.bin")


def _header(project: TinyBenchmark, split: str) -> ShardHeader:
    space = project.submission.label_space
    return ShardHeader(
        dataset="tiny",
        shard=split,
        split=split,
        class_names=space.names,
        colours=space.colours,
        raw_ids=space.raw_of_train_id,
        feature_names=_FEATURES[project.reader],
        record=_record(split),
        producer="test",
    )


def _table() -> TextTable:
    row = np.ones((1, 4), np.float16)
    return TextTable(
        ("image",), np.zeros(1, np.int32), ("a thing",), np.array([0, 1]), row, row, ("thing",), row
    )


def _record(what: str) -> dict[str, object]:
    return {"stage": what, "schema": 1, "params": {}, "inputs": {}, "upstream": {}}
