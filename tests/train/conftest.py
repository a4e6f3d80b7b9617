"""A data set that is as small as one can be and still be learnt: its pair shards, text table and manifest."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lass3d_core.files.fingerprint import Record
from lass3d_core.files.pair_index import IndexedShard, LabelledLists, PairIndex, write_index
from lass3d_core.files.shards import ShardHeader, write_shard
from lass3d_core.records import PairedScan, PointTextPairs
from tests.text_tables import TextTable, write_text_table

CLASSES = ("ground", "wall", "lamp")
DIM = 8
PHRASES = ("the ground", "a wall", "a lamp")
SCANS = {"train": 10, "val": 2, "test": 2}
TINY = (
    "schedule.steps=12",
    "schedule.validate_every=6",
    "schedule.checkpoint_every=4",
    "net.stem=4",
    "net.encoder=[6, 6, 6]",
    "net.decoder=[6, 6, 6]",
)
"""Settings that turn the demo preset into one that takes a second."""


@dataclass(frozen=True)
class TinyProject:
    """A folder with a manifest and all that program one would have left; simulated, so no raw data."""

    root: Path

    @property
    def manifest(self) -> Path:
        return self.root / "data_manifest.yaml"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts" / "tiny"

    def run(self, name: str) -> Path:
        return self.root / "runs" / "tiny" / name

    def arguments(self, command: str, *more: str) -> list[str]:
        """The command line, without the program."""
        return [command, "--manifest", str(self.manifest), *more]

    def training(self, *more: str, method: str = "supervised", settings: tuple[str, ...] = TINY) -> list[str]:
        """The command line of a run that takes a second; 20 % of the scans, two, are labelled."""
        flags = [word for setting in settings for word in ("--set", setting)]
        return self.arguments("run", "--method", method, "--ratio", "20", *flags, *more)


@pytest.fixture(scope="session")
def _built(tmp_path_factory: pytest.TempPathFactory) -> TinyProject:
    project = TinyProject(tmp_path_factory.mktemp("tiny"))
    write_tiny(project)
    return project


@pytest.fixture
def tiny(_built: TinyProject, tmp_path: Path) -> TinyProject:
    """A project of one's own."""
    shutil.copytree(_built.root, tmp_path / "project")
    return TinyProject(tmp_path / "project")


@pytest.fixture
def make_tiny_scan() -> Callable[..., PairedScan]:
    """tiny_scan, for tests that want scans which no shard holds."""
    return tiny_scan


@pytest.fixture
def rewrite_tiny() -> Callable[..., None]:
    """write_tiny, for tests that want other scans in the same places."""
    return write_tiny


def write_tiny(
    project: TinyProject,
    change: Callable[[PairedScan], PairedScan] = lambda scan: scan,
    record_salt: str = "",
) -> None:
    """Write the manifest and the artifacts; `change` may alter each scan."""
    project.root.mkdir(parents=True, exist_ok=True)
    project.manifest.write_text(
        "schema: 1\ndefault: tiny\ndatasets:\n"
        "  tiny: {reader: semantickitti, root: data, simulate: {}, "
        "splits: {train: ['0'], val: ['1'], test: ['2']}}\n"
        "image_captions: {name: palette}\nentities: {name: palette}\ntext_embeddings: {name: hashing}\n"
    )
    shards, image_ids = [], []
    for number, (split, count) in enumerate(SCANS.items()):
        scans = [change(tiny_scan(f"{number}/{index}", 100 * number + index)) for index in range(count)]
        image_ids += [image_id for scan in scans for image_id in scan.pairs.image_ids]
        header = tiny_header(split, record_salt)
        write_shard(project.artifacts / "pairs" / f"{number}-000.h5", header, scans)
        shards.append(IndexedShard(f"{number}-000.h5", split, count, header.fingerprint))
    write_index(
        project.artifacts / "pairs", PairIndex("tiny", CLASSES, LabelledLists("nested", {}), tuple(shards))
    )
    write_text_table(
        project.artifacts / "text_embeddings.h5", tiny_table(image_ids), record("text_embeddings", "")
    )


def tiny_scan(scan_id: str, seed: int) -> PairedScan:
    """A floor, a wall and a bright lamp above them: 300 points of which the front half has text."""
    rng = np.random.default_rng(seed)
    ground = rng.uniform([-4, -4, -0.1], [4, 4, 0.1], (150, 3))
    wall = rng.uniform([-4, 3.8, 0.3], [4, 4.0, 3.0], (110, 3))
    lamp = rng.uniform([1.0, -1.0, 2.4], [1.9, -0.1, 3.1], (40, 3))
    points = np.concatenate([ground, wall, lamp]).astype(np.float32)
    classes = np.repeat(np.arange(3), [150, 110, 40])
    labels = classes.astype(np.uint8)
    labels[:5] = 255
    brightness = np.array([0.2, 0.5, 0.9])[classes]
    seen = points[:, 0] > 0
    pairs = PointTextPairs(
        image=np.where(seen, 0, -1).astype(np.int16)[:, None],
        entity=np.where(seen, classes, -1).astype(np.int16),
        image_ids=(f"{scan_id}/image",),
        phrases=PHRASES,
    )
    features = (brightness + rng.normal(0, 0.05, 300)).astype(np.float32)[:, None]
    return PairedScan(scan_id, points, features, labels, pairs)


def tiny_table(image_ids: list[str]) -> TextTable:
    """Two captions of two and three rows, given to the images in turn; row r is filled with the number r."""
    rows = np.repeat(np.arange(1, 6, dtype=np.float16)[:, None], DIM, axis=1)
    rows[:, ::2] = 0.5
    return TextTable(
        image_ids=tuple(image_ids),
        image_caption=(np.arange(len(image_ids)) % 2).astype(np.int32),
        caption_texts=("a wall", "a wall and a lamp"),
        caption_offsets=np.array([0, 2, 5]),
        caption_rows=rows,
        caption_pooled=rows[:2],
        phrases=PHRASES,
        phrase_rows=np.eye(3, DIM, dtype=np.float16),
    )


def tiny_header(split: str, salt: str) -> ShardHeader:
    colours = ((90, 90, 90), (200, 100, 50), (250, 250, 0))
    return ShardHeader(
        "tiny",
        split,
        split,
        CLASSES,
        colours,
        (1, 2, 3),
        ("remission",),
        record("pairs", split + salt),
        "test",
    )


def record(stage: str, what: str) -> Record:
    return {"stage": stage, "schema": 1, "params": {"what": what}, "inputs": {}, "upstream": {}}
