"""docs/formats.md is correct: its snippets run with h5py alone, and it names every field and every key."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import h5py
import numpy as np
import pytest

from lass3d_core.files.coverage import ScanCounts
from lass3d_core.files.fingerprint import Record
from lass3d_core.files.shards import ShardHeader, write_shard
from lass3d_core.manifest import schema as manifest
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.records import PairedScan, PointTextPairs
from preprocess.lvm import ADAPTERS
from preprocess.lvm.params import SegmenterParams
from tests.lass3d_core.model.conftest import CARD, write_tiny_model
from tests.text_tables import TextTable, write_text_table

TEXT = (Path(__file__).parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")
RECORD: Record = {"stage": "pairs", "schema": 1, "params": {}, "inputs": {}, "upstream": {}}


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """A shard with one scan of five points, and its text table, in the places that the snippets read."""
    folder = tmp_path / "artifacts" / "street"
    pairs = PointTextPairs(
        image=np.array([[0], [0], [-1], [0], [-1]], np.int16),
        entity=np.array([1, 1, -1, 0, -1], np.int16),
        image_ids=("00/000000/image_2",),
        phrases=("house", "parked car"),
    )
    points, remission = np.zeros((5, 3), np.float32), np.zeros((5, 1), np.float32)
    labels = np.array([1, 1, 0, 1, 255], np.uint8)
    header = ShardHeader(
        "street",
        "00-000",
        "train",
        ("road", "car"),
        ((0, 0, 0), (9, 9, 9)),
        (40, 10),
        ("remission",),
        RECORD,
        "x",
    )
    write_shard(
        folder / "pairs" / "00-000.h5", header, [PairedScan("00/000000", points, remission, labels, pairs)]
    )
    table = TextTable(
        image_ids=("00/000000/image_2",),
        image_caption=np.zeros(1, np.int32),
        caption_texts=("a street with a car",),
        caption_offsets=np.array([0, 6]),
        caption_rows=np.zeros((6, 8), np.float16),
        caption_pooled=np.zeros((1, 8), np.float16),
        phrases=("house", "parked car"),
        phrase_rows=np.zeros((2, 8), np.float16),
    )
    write_text_table(folder / "text_embeddings.h5", table, RECORD)
    return folder


def run(snippet: str, folder: Path) -> str:
    """The output of the snippet, run in `folder` by an interpreter that cannot import this project."""
    command = [sys.executable, "-I", "-W", "error", "-c", snippet]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_the_snippets_read_a_shard_and_a_table_with_h5py_alone(artifacts: Path) -> None:
    shard, table, _ = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    assert run(shard, artifacts.parents[1]).splitlines() == [
        "00/000000 5 points, most of class car",
        "  seen by an image: 3 of 5",
        "  phrases: {'house': 1, 'parked car': 2}",
    ]
    assert run(table, artifacts.parents[1]).splitlines() == [
        "image: a street with a car (6, 8)",
        "entity: parked car (8,)",
    ]
    assert "lass3d" not in shard + table


def test_the_snippet_reads_a_model_file_with_safetensors_alone(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model.safetensors")
    *_, model = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    assert run(model, tmp_path) == "['ground', 'wall', 'lamp'] supervised\n"


def test_every_key_of_a_model_card_is_described() -> None:
    for key in json.loads(CARD.to_json()):
        assert f"`{key}`" in TEXT


def test_every_dataset_and_attribute_of_the_files_is_described(artifacts: Path) -> None:
    with (
        h5py.File(artifacts / "pairs" / "00-000.h5") as shard,
        h5py.File(artifacts / "text_embeddings.h5") as table,
    ):
        scan = shard["scans/00/000000"]
        names = {*shard.attrs, *table.attrs, *scan.attrs, *table, "scan_ids", "record"}
        names |= {f"scans/ID/{field}" for field in scan}
        names |= set(ScanCounts._fields)
        assert set(shard) == {"scans", "scan_ids", "record", "counts"}
    assert len(names) > 25 and [name for name in sorted(names) if f"`{name}`" not in TEXT] == []


def test_every_key_of_the_manifest_is_described() -> None:
    nested = {
        "datasets.NAME": manifest.DatasetSpec,
        "pairs": manifest.PairsSpec,
        "pairs.vote": manifest.VoteSpec,
    }
    keys = [
        field.name
        for field in dataclasses.fields(manifest.Manifest)
        if field.name not in ("datasets", "pairs")
    ]
    keys += [f"{path}.{field.name}" for path, kind in nested.items() for field in dataclasses.fields(kind)]
    assert [key for key in keys if f"`{key}`" not in TEXT] == []
    inner = (
        manifest.SimulateSpec,
        manifest.SplitSpec,
        manifest.FramesSpec,
        manifest.LabelledSpec,
        manifest.EntitiesSpec,
    )
    words = [field.name for kind in inner for field in dataclasses.fields(kind)]
    assert [word for word in words if f"`{word}`" not in TEXT and f"{{{word}:" not in TEXT] == []


def test_the_examples_of_official_data_sets_in_the_manifest_are_right_once_uncommented(
    tmp_path: Path,
) -> None:
    lines = (Path(__file__).parents[1] / "data_manifest.yaml").read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("# semantickitti:"))
    last = lines.index("", first)
    uncommented = ["  " + line.removeprefix("# ") for line in lines[first:last]]
    path = tmp_path / "data_manifest.yaml"
    path.write_text("\n".join([*lines[:first], *uncommented, *lines[last:]]))
    found, _ = read_manifest(path)
    assert [found.datasets[name].reader for name in ("semantickitti", "scannet", "nuscenes")] == [
        "semantickitti",
        "scannet",
        "nuscenes",
    ]
    kitti = found.datasets["semantickitti"]
    assert kitti.labelled.name == "uniform (IT2)" and list(kitti.labelled.lists) == ["1", "10", "20", "50"]
    splits = kitti.splits
    assert [len(names) for names in (splits.train, splits.val, splits.test)] == [10, 1, 11]


def test_every_parameter_of_the_models_is_described() -> None:
    models = [ADAPTERS[stage] for stage in get_args(manifest.LvmStage)]
    names = {name for adapters in models for name in adapters}
    kinds = [kind for adapters in models for kind, _ in adapters.values()]
    fields = {field for kind in kinds for field in fields_below(made(kind))}
    assert len(fields) > 20
    assert [name for name in sorted(names | fields) if f"`{name}`" not in TEXT] == []


def made(kind: Any) -> Any:
    """Parameters with their defaults."""
    return kind("a.onnx", "cityscapes") if kind is SegmenterParams else kind()


def fields_below(params: Any) -> set[str]:
    """The keys of a model's parameters: `run.batch` for nested ones, but plain `weights` and `revision`."""
    found = set()
    for field in dataclasses.fields(params):
        value = getattr(params, field.name)
        if dataclasses.is_dataclass(value):
            same = ("weights", "revision")
            found |= {key if key in same else f"{field.name}.{key}" for key in fields_below(value)}
        else:
            found.add(field.name)
    return found
