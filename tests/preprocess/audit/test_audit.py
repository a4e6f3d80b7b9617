from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from PIL import Image

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
    assert "with a phrase in 2 labelled scans (34 %, nested, seed 0)" in words
    found = json.loads((street.artifacts / "audit" / "audit.json").read_text())
    assert found["labelled"]["labelled"] == list(kept_of(street))
    points = np.zeros(256, int)
    for scan_id in kept_of(street):
        points += np.bincount(street.project.dataset.read_scan(scan_id).labels, minlength=256)
    names = street.project.dataset.label_space.names
    assert {row["name"]: row["points"] for row in found["words"]["classes"]} == {
        name: count for name, count in zip(names, points.tolist()) if count
    }
    shares = found["words"]
    assert 0.5 < shares["by_name"]["found"] <= shares["purity"]["found"] <= 1
    assert shares["by_name"]["by_chance"] < shares["purity"]["by_chance"] < 0.6
    assert shares["by_encoder"]["found"] > 0.5 and not shares["warning"]
    assert found["coverage"]["train"]["scans"] == 6
    assert sorted(found["pictures"]) == sorted(path.name for path in street.artifacts.glob("audit/*.png"))


def test_a_ratio_that_labels_no_scan_is_a_remark(street: Any, capfd: Any) -> None:
    assert street.run("audit") == 0
    words = capfd.readouterr().out
    assert (
        "the words are not compared with labels: 1 % of 6 training scans labels none; the smallest" in words
    )
    found = json.loads((street.artifacts / "audit" / "audit.json").read_text())
    assert found["words"] is None and "the smallest ratio" in found["remark"]


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


def test_pictures_show_what_was_found_in_the_whole_image_alone(street: Any) -> None:
    def pictures() -> dict[str, bytes]:
        assert street.run("audit") == 0
        return {path.name: path.read_bytes() for path in street.artifacts.glob("audit/*.png")}

    before = pictures()
    street.set(entities__looks=["mirrored", "tiled"])
    assert street.run("captions") == 0 and street.run("pairs") == 0
    assert len(before) == 6 and pictures() == before


def test_pictures_of_an_earlier_audit_are_removed(street: Any) -> None:
    folder = street.artifacts / "audit"
    folder.mkdir()
    (folder / "old.png").write_bytes(b"")
    audit(street.project, LABELLED, 0)
    assert not (folder / "old.png").exists() and len(list(folder.glob("*.png"))) == 6


def blacken(street: Any) -> None:
    for path in street.sequences.glob("*/image_2/*.png"):
        with Image.open(path) as image:
            size = image.size
        Image.new("RGB", size).save(path)


def test_one_word_on_black_images_is_called_worthless(untouched_street: Any, capfd: Any) -> None:
    street = untouched_street
    blacken(street)
    assert street.run("captions") == 0 and street.run("pairs") == 0
    capfd.readouterr()
    assert street.run("audit", "--ratio", "100") == 0
    lines = capfd.readouterr().out.splitlines()
    assert any(line.startswith("  WARNING: the words tell nothing") for line in lines)
    found = json.loads((street.artifacts / "audit" / "audit.json").read_text())["words"]
    for share in ("purity", "by_name", "by_encoder"):
        assert found[share]["found"] == pytest.approx(found[share]["by_chance"])
    assert found["by_name"]["found"] < 0.3


def test_train_alone_is_audited(untouched_street: Any, capfd: Any) -> None:
    street = untouched_street
    for sequence in ("01", "02"):
        shutil.rmtree(street.sequences / sequence)
    content = yaml.safe_load(street.manifest.read_text())
    content["datasets"]["street"]["splits"] = {"train": ["00"]}
    del content["datasets"]["street"]["simulate"]
    street.manifest.write_text(yaml.safe_dump(content))
    assert street.run("captions") == 0 and street.run("pairs") == 0
    capfd.readouterr()
    assert street.run("audit", "--ratio", str(LABELLED)) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("train: 6 scans, ") and not any(line.startswith("val") for line in lines)
    assert "their phrase names their class" in "\n".join(lines)


def test_scans_without_labels_are_counted_and_nothing_labelled_is_a_remark(
    untouched_street: Any, capfd: Any
) -> None:
    street = untouched_street
    shutil.rmtree(street.sequences / "00" / "labels")
    street.set(datasets__street__simulate=None)
    assert street.run("captions") == 0 and street.run("pairs") == 0
    capfd.readouterr()
    assert street.run("audit", "--ratio", "100") == 0
    words = capfd.readouterr().out
    assert "  of 6 scans 0 without an image, 6 without labels" in words
    assert "the words are not compared with labels" in words


def test_a_data_set_without_a_camera_is_audited(untouched_street: Any, capfd: Any) -> None:
    street = untouched_street
    street.set(datasets__street__views=[], datasets__street__simulate=None)
    for command in ("captions", "pairs"):
        street.run(command)
    capfd.readouterr()
    assert street.run("audit", "--ratio", "100") == 0
    words = capfd.readouterr().out
    assert "  of 6 scans 6 without an image, 0 without labels" in words
    assert "no point has a phrase" in words
    assert "no labelled point has a phrase, so the words cannot be judged" in words
    assert "calibration: no scan has an image" in words


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


@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_an_image_that_cannot_be_read_is_left_out(untouched_street: Any, capfd: Any, damage: str) -> None:
    street = untouched_street
    street.set(datasets__street__simulate=None, max_failures=0.2)
    path = street.sequences / "00" / "image_2" / "000000.png"
    content = path.read_bytes()
    path.unlink()
    if damage == "cut off":
        path.write_bytes(content[: len(content) // 2])
    assert street.run("captions") == 0 and street.run("pairs") == 0
    capfd.readouterr()
    assert street.run("audit", "--ratio", "100") == 0
    printed = capfd.readouterr()
    assert "their phrase names their class" in printed.out
    assert ("left out: " in printed.err and "000000.png" in printed.err) == (damage == "cut off")
    assert not (street.artifacts / "audit" / "00-000000-image_2.png").exists()
