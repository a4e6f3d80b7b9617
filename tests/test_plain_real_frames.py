"""Real frames through the plain layout, from the doctor to a prediction, with classes of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import lass3d_core.model.command
import preprocess.__main__
import train.__main__
from tests.plain_samples import (
    KITTI_COLUMNS,
    NUSCENES_COLUMNS,
    PANDASET_CLASSES,
    manifest_of,
    plain_from_nuscenes,
    plain_from_semantickitti,
)

pytestmark = [pytest.mark.samples, pytest.mark.slow]

SETTINGS = ("schedule.steps=8", "data.labelled_scans=1", "data.voxel_m=0.5", "data.augment.keep=0.3")
CHOICE = ("--method", "supervised", "--preset", "demo", "--ratio", "50")


@pytest.fixture(scope="module")
def place(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest with eight PandaSet frames in JPEG, two KITTI drives, and an unlabelled nuScenes frame."""
    folder = tmp_path_factory.mktemp("plain")
    pandaset, kitti = samples / "pandaset_as_semantickitti/sequences", samples / "semantickitti/sequences"
    for sequence in ("00", "01"):
        plain_from_semantickitti(pandaset / sequence, folder / "pandaset" / sequence, ".jpg")
    for sequence in ("04", "08"):
        plain_from_semantickitti(kitti / sequence, folder / "kitti" / sequence)
    plain_from_nuscenes(samples / "nuscenes", folder / "nuscenes" / "key")
    own: dict[str, Any] = {"reader": "plain", "columns": KITTI_COLUMNS, "classes": PANDASET_CLASSES}
    datasets = {
        "pandaset": own | {"root": "pandaset", "splits": {"train": ["00"], "val": ["01"]}},
        "kitti": own | {"root": "kitti", "splits": {"train": ["04"], "val": ["08"]}},
        "nuscenes": own
        | {"root": "nuscenes", "splits": {"train": ["key"]}}
        | {"columns": NUSCENES_COLUMNS, "intensity_scale": 255},
    }
    (folder / "data_manifest.yaml").write_text(yaml.safe_dump(manifest_of(datasets)))
    return folder


def look(place: Path, dataset: str) -> dict[str, Any]:
    """Run doctor, captions, pairs and audit; what the audit found."""
    for command in (["doctor"], ["captions"], ["pairs"], ["audit", "--ratio", "50"]):
        words = [*command, "--manifest", str(place / "data_manifest.yaml"), "--dataset", dataset]
        assert preprocess.__main__.main(words) == 0, command
    found: dict[str, Any] = json.loads((place / "artifacts" / dataset / "audit/audit.json").read_text())
    return found


def learn(place: Path, dataset: str, scan: Path) -> np.ndarray:
    """Train, evaluate and predict; the raw ids of the scan."""
    words = ["--manifest", str(place / "data_manifest.yaml"), "--dataset", dataset, *CHOICE]
    assert train.__main__.main(["run", *words, *(f"--set={one}" for one in SETTINGS)]) == 0
    assert train.__main__.main(["eval", *words]) == 0
    model, into = (
        place / "runs" / dataset / "supervised-demo-r50-s0/model.safetensors",
        place / "out" / dataset,
    )
    assert lass3d_core.model.command.main([str(model), str(scan), "--into", str(into)]) == 0
    return np.fromfile(into / f"{scan.stem}.label", "<u4")


@pytest.mark.parametrize("dataset", ["pandaset", "kitti"])
def test_labelled_frames_are_learnt_in_classes_of_ones_own(
    place: Path, dataset: str, capfd: pytest.CaptureFixture[str]
) -> None:
    found = look(place, dataset)
    printed = capfd.readouterr().out
    assert "6 classes; features: intensity" in printed
    assert "train: 4 scans, 4 with labels, 4 with images" in printed
    assert found["coverage"]["train"]["points"] > 400_000
    scan = next((place / dataset).glob("0[18]/points/000000.bin"))
    raw = learn(place, dataset, scan)
    assert len(raw) == scan.stat().st_size // 16
    first_ids = {ids[0] for ids in PANDASET_CLASSES["ids"].values()}
    assert set(np.unique(raw).tolist()) <= first_ids
    assert "plant" in capfd.readouterr().out


def test_a_frame_without_labels_is_captioned_paired_and_audited(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """34 688 points of 5 columns and six cameras; a model of KITTI's columns labels them."""
    found = look(place, "nuscenes")
    printed = capfd.readouterr().out
    assert "train: 1 scan, 0 with labels, 1 with images" in printed
    assert found["coverage"]["train"]["points"] == 34_688
    share = found["coverage"]["train"]["with_image"] / 34_688
    assert 0.5 < share < 0.7  # six cameras around; by the frame's own README 3 067 to 4 826 points each
