"""The whole path on real LiDAR and photographs: one frame to learn from, one of another street to judge by.

PandaSet in SemanticKITTI's layout. `palette` cannot name photographs, so nothing is asked of its words.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import preprocess.__main__
import train.__main__
from lass3d_core.labels import IGNORE
from lass3d_core.shards import ShardReader

pytestmark = pytest.mark.samples

FRAMES = {"00": "000000", "01": "000000"}
SETTINGS = ("schedule.steps=40", "data.labelled_scans=1", "data.voxel_m=0.5", "data.augment.keep=0.5")


@pytest.fixture(scope="module")
def manifest(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real frames in a tree of their own, and a manifest that points at them."""
    folder, source = tmp_path_factory.mktemp("real"), samples / "pandaset_as_semantickitti" / "sequences"
    for sequence, frame in FRAMES.items():
        for kind, suffix in (("velodyne", "bin"), ("labels", "label"), ("image_2", "png")):
            target = folder / "data" / "sequences" / sequence / kind / f"{frame}.{suffix}"
            target.parent.mkdir(parents=True)
            shutil.copyfile(source / sequence / kind / target.name, target)
        calibration = folder / "data" / "sequences" / sequence / "calib.txt"
        shutil.copyfile(source / sequence / "calib.txt", calibration)
    splits = {"train": ["00"], "val": ["01"]}
    content = {
        "schema": 1,
        "default": "pandaset",
        "datasets": {"pandaset": {"reader": "semantickitti", "root": "data", "splits": splits}},
        "image_captions": {"name": "palette"},
        "entities": {"name": "palette"},
        "text_embeddings": {"name": "hashing"},
    }
    path = folder / "data_manifest.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def paired(manifest: Path) -> Path:
    """The pair shards of both frames."""
    for command in ("captions", "pairs"):
        assert preprocess.__main__.main([command, "--manifest", str(manifest)]) == 0
    return manifest.parent / "artifacts" / "pandaset" / "pairs"


def test_an_eighth_of_a_turning_lidar_falls_into_the_front_image(paired: Path) -> None:
    for sequence, frame in FRAMES.items():
        scan = ShardReader(paired / f"{sequence}-000.h5").read(f"{sequence}/{frame}")
        assert 0.10 < np.mean(scan.pairs.image[:, 0] >= 0) < 0.14


def test_supervised_training_beats_the_majority_class_on_a_street_it_never_saw(
    manifest: Path, paired: Path
) -> None:
    run = ["run", "--manifest", str(manifest), "--method", "supervised", "--ratio", "100", "--preset", "demo"]
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    assert train.__main__.main([*run, *settings]) == 0
    (folder,) = (manifest.parent / "runs" / "pandaset").iterdir()
    accuracy = json.loads((folder / "metrics-val.json").read_text())["accuracy"]
    labels = ShardReader(paired / "01-000.h5").read(f"01/{FRAMES['01']}").labels
    assert labels is not None
    counted = np.bincount(labels[labels != IGNORE])
    assert accuracy > counted.max() / counted.sum() + 0.05
