"""Every command of a data set's way, on a tiny data set in each official layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from preprocess.__main__ import main as preprocess
from tests.lass3d_core.datasets.nuscenes_files import write_nuscenes
from tests.lass3d_core.datasets.scannet_files import write_scannet
from tests.lass3d_core.datasets.semantickitti_files import write_semantickitti
from train.__main__ import main as train

TINY = ("schedule.steps=3", "data.voxel_m=0.5", "net.stem=4", "net.encoder=[6,6,6]", "net.decoder=[6,6,6]")
RUN = ("--method", "lass3d", "--preset", "demo", "--ratio", "50")


def kitti(root: Path) -> dict[str, Any]:
    write_semantickitti(root, ("00", "08"), unlabelled=("11",))
    return {"reader": "semantickitti", "splits": {"train": ["00"], "val": ["08"], "test": ["11"]}}


def scannet(root: Path) -> dict[str, Any]:
    train_scenes, val, test = ("scene0000_00", "scene0001_00"), ("scene0002_00",), ("scene0707_00",)
    write_scannet(root, (*train_scenes, *val), unlabelled=test)
    for split, scenes in (("train", train_scenes), ("val", val), ("test", test)):
        (root / f"scannetv2_{split}.txt").write_text("\n".join(scenes) + "\n")
    return {
        "reader": "scannet",
        "splits": {split: [f"data/scannetv2_{split}.txt"] for split in ("train", "val", "test")},
        "frames": {"stride": 1},
        "pairs": {"visibility": "depth_map", "max_views": 2, "min_depth_m": 0.1},
    }


def nuscenes(root: Path) -> dict[str, Any]:
    write_nuscenes(root, ("scene-0001", "scene-0103"))
    write_nuscenes(root, ("scene-0077",), version="v1.0-test", frames=1, labelled=False)
    splits = {"train": ["scene-0001"], "val": ["scene-0103"], "test": ["scene-0077"]}
    return {"reader": "nuscenes", "splits": splits, "pairs": {"visibility": "none"}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "handed_in"),
    [
        (kitti, "sequences/11/predictions/000001.label"),
        (scannet, "scene0707_00.txt"),
        (nuscenes, "lidarseg/test/*_lidarseg.bin"),
    ],
)
def test_a_data_set_goes_the_whole_way(
    tmp_path: Path,
    written: Callable[[Path], dict[str, Any]],
    handed_in: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    manifest, name = tmp_path / "data_manifest.yaml", written.__name__
    content = {
        "schema": 1,
        "default": name,
        "datasets": {name: {**written(tmp_path / "data"), "root": "data"}},
        "image_captions": {"name": "palette"},
        "entities": {"name": "palette", "vocabulary": "captions"},
        "text_embeddings": {"name": "hashing"},
        "workers": 1,
    }
    manifest.write_text(yaml.safe_dump(content))
    where = ("--manifest", str(manifest))
    for command in ("doctor", "captions", "pairs", "status"):
        assert preprocess([command, *where]) == 0
    assert preprocess(["audit", *where, "--ratio", "50"]) == 0
    settings = [word for setting in TINY for word in ("--set", setting)]
    assert train(["run", *where, *RUN, *settings]) == 0
    for command in ("eval", "report", "clouds"):
        assert train([command, *where, *RUN]) == 0
    for split in ("val", "test"):
        assert train(["export", *where, *RUN, "--split", split]) == 0
    assert "Traceback" not in capsys.readouterr().err

    (run,) = (tmp_path / "runs" / name).iterdir()
    metrics = json.loads((run / "metrics-val.json").read_text())
    assert metrics["protocol"] == "nested" and metrics["points"] > 0 and metrics["steps"] == 3
    assert not (run / "metrics-test.json").exists()  # nobody publishes its labels
    assert (run / "report.html").stat().st_size > 10_000
    assert list(run.rglob("*.ply"))
    assert list((run / "export-test").glob(handed_in))
