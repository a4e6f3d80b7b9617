from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

from lass3d_core.errors import CorruptArtifact
from lass3d_core.files.shards import ShardReader
from lass3d_core.files.splits import labelled_split
from preprocess.__main__ import main
from preprocess.audit.audit import audit
from preprocess.audit.calibration import Nudge
from tests.lass3d_core.datasets.scannet_files import write_scannet

MANIFEST = {
    "schema": 1,
    "image_captions": {"name": "palette"},
    "entities": {"name": "palette", "vocabulary": "captions"},
    "text_embeddings": {"name": "hashing"},
    "workers": 1,
}
LABELLED = 34  # percent: two of six training scans


def kept_of(street: Any, ratio: float = LABELLED, seed: int = 0) -> tuple[str, ...]:
    project = street.project
    return labelled_split(project.spec.labelled, project.dataset.scan_ids("train"), ratio, seed).labelled


def poison(street: Any, spared: tuple[str, ...]) -> None:
    """Flip a byte of every label array but those of the spared scans: whoever reads one raises."""
    for path in sorted((street.artifacts / "pairs").glob("*.h5")):
        with h5py.File(path, "r") as file:
            places = {
                scan_id: file[f"scans/{scan_id}/label"].id.get_chunk_info(0).byte_offset
                for scan_id in file["scan_ids"].asstr()[()]
            }
        content = bytearray(path.read_bytes())
        for scan_id, place in places.items():
            if scan_id not in spared:
                content[place] ^= 0xFF
        path.write_bytes(content)


def test_labels_of_scans_that_lose_theirs_are_never_read(street: Any) -> None:
    spared = kept_of(street)
    expected = audit(street.project, LABELLED, 0)
    poison(street, spared)
    assert audit(street.project, LABELLED, 0) == expected
    with pytest.raises(CorruptArtifact, match="label"):
        audit(street.project, LABELLED, 1 if kept_of(street, seed=1) != spared else 2)


def test_a_shard_gives_a_scan_without_reading_its_labels(street: Any) -> None:
    poison(street, ())
    reader = ShardReader(street.artifacts / "pairs" / "00-000.h5")
    assert reader.read("00/000000", with_labels=False).labels is None
    with pytest.raises(CorruptArtifact):
        reader.read("00/000000")


def test_the_table_is_that_of_the_labelled_scans(street: Any, capfd: Any) -> None:
    assert street.run("audit", "--ratio", str(LABELLED), "--seed", "0") == 0
    words = capfd.readouterr().out
    assert "entities and labels on 2 labelled scans (34 %, nested, seed 0)" in words
    found = json.loads((street.artifacts / "audit" / "audit.json").read_text())
    assert found["labelled"]["labelled"] == list(kept_of(street))
    points = np.zeros(256, int)
    for scan_id in kept_of(street):
        points += np.bincount(street.project.dataset.read_scan(scan_id).labels, minlength=256)
    names = street.project.dataset.label_space.names
    assert {row["name"]: row["points"] for row in found["agreement"]["classes"]} == {
        name: count for name, count in zip(names, points.tolist()) if count
    }
    assert 0.5 < found["agreement"]["share"] <= 1
    assert found["coverage"]["train"]["scans"] == 6
    assert sorted(found["pictures"]) == sorted(path.name for path in street.artifacts.glob("audit/*.png"))


def test_a_ratio_that_labels_no_scan_is_a_remark(street: Any, capfd: Any) -> None:
    assert street.run("audit") == 0
    words = capfd.readouterr().out
    assert "entities are not compared with labels: 1 % of 6 training scans labels none; the smallest" in words
    found = json.loads((street.artifacts / "audit" / "audit.json").read_text())
    assert found["agreement"] is None and "the smallest ratio" in found["remark"]


def test_rgbd_frames_are_audited_and_those_without_a_pose_counted(tmp_path: Path, capfd: Any) -> None:
    scenes = ("scene0000_00", "scene0001_00", "scene0002_00")
    write_scannet(tmp_path / "data", scenes, 12, lost=(4,))
    dataset = {
        "reader": "scannet",
        "root": "data",
        "splits": {"train": list(scenes[:2]), "val": list(scenes[2:])},
        "frames": {"stride": 2},
        "pairs": {"visibility": "depth_map", "min_depth_m": 0.1},
    }
    manifest = tmp_path / "data_manifest.yaml"
    manifest.write_text(yaml.safe_dump(MANIFEST | {"default": "rooms", "datasets": {"rooms": dataset}}))
    for command in ("captions", "pairs", "audit"):
        capfd.readouterr()
        assert main([command, "--manifest", str(manifest), *(["--ratio", "50"] * (command == "audit"))]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("train: 2 scans, ") and lines[0].endswith("; 2 frames without a pose left out")
    assert lines[1].endswith("; 1 frame without a pose left out")
    assert any(line.startswith("  train scene0000_00 frames: ") for line in lines)
    found = json.loads((tmp_path / "artifacts" / "rooms" / "audit" / "audit.json").read_text())
    assert found["skipped_frames"] == {"train": 2, "val": 1, "test": 0}
    assert len(found["calibration"]) == 3 and all(one["images"] == 5 for one in found["calibration"])


def test_pictures_of_an_earlier_audit_are_removed(street: Any) -> None:
    folder = street.artifacts / "audit"
    folder.mkdir()
    (folder / "old.png").write_bytes(b"")
    audit(street.project, LABELLED, 0)
    assert not (folder / "old.png").exists() and len(list(folder.glob("*.png"))) == 6


def test_a_calibration_that_is_wrong_is_warned_of(street: Any, capfd: Any) -> None:
    turn = Nudge("turn", "y", 4.0)
    for path in street.sequences.glob("00/calib.txt"):
        lines = path.read_text().splitlines()
        (row,) = (i for i, line in enumerate(lines) if line.startswith("Tr:"))
        (view,) = street.project.dataset.views("00/000000")
        matrix = np.array(lines[row].split()[1:], float).reshape(3, 4)
        turned = turn.of(view.camera).cam_from_points @ np.linalg.inv(view.camera.cam_from_points)
        lines[row] = "Tr: " + " ".join(
            map(repr, (turned[:3] @ np.vstack([matrix, (0, 0, 0, 1)])).ravel().tolist())
        )
        path.write_text("\n".join(lines) + "\n")
    assert street.run("pairs") == 0
    capfd.readouterr()
    assert street.run("audit", "--ratio", str(LABELLED)) == 0
    (line,) = (line for line in capfd.readouterr().out.splitlines() if line.startswith("  train 00 image_2"))
    assert "WARNING" in line
