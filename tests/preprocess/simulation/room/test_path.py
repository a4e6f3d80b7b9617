"""The indoor path from nothing: rooms, captions, entities, texts, pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from lass3d_core.files.shards import ShardReader
from preprocess.__main__ import main

PALETTE = {"name": "palette", "params": {"world": "indoor"}}
MANIFEST = {
    "schema": 1,
    "default": "room",
    "datasets": {
        "room": {
            "reader": "scannet",
            "root": "data",
            "simulate": {"world": "room", "train": 2, "val": 1, "test": 1, "frames_per_room": 10},
            "splits": {split: [f"data/scannetv2_{split}.txt"] for split in ("train", "val", "test")},
            "frames": {"stride": 1},
            "pairs": {"visibility": "depth_map", "depth_tolerance": 0.1, "max_views": 3},
        }
    },
    "image_captions": PALETTE,
    "entities": PALETTE,
    "text_embeddings": {"name": "hashing"},
    "workers": 1,
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("indoors") / "data_manifest.yaml"
    path.write_text(yaml.safe_dump(MANIFEST))
    return path


def run(manifest: Path, command: str) -> int:
    return main([command, "--manifest", str(manifest)])


def test_rooms_that_are_not_written_yet_are_no_fault(
    manifest: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(manifest, "status") == 0
    assert capfd.readouterr().out.endswith("run `make room`\n")
    assert run(manifest, "doctor") == 0
    assert "simulated; make captions writes it to" in capfd.readouterr().out


def test_whole_path_pairs_most_points_with_several_images(
    manifest: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(manifest, "captions") == 0 and run(manifest, "pairs") == 0
    assert "room: 4 scans written, 0 were there" in capfd.readouterr().out
    (shard,) = (manifest.parent / "artifacts" / "room" / "pairs").glob("train*.h5")
    reader = ShardReader(shard)
    for scan in reader.scans():
        assert scan.pairs.image.shape == (len(scan.points), 3)
        views = (scan.pairs.image >= 0).sum(axis=1)
        assert (views > 0).mean() > 0.85 and (views > 1).mean() > 0.5
        assert (scan.pairs.entity >= 0).mean() > 0.8
        assert np.median(scan.features) > 0.2
    reader.close()
