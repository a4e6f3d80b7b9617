"""The real frames in /shared/samples, rewritten in the plain layout with classes of one's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PANDASET_CLASSES: dict[str, Any] = {
    "ids": {
        "vehicle": [10, 11, 13, 15, 16, 18, 20, 252, 256, 257, 258, 259],
        "person": [30, 31, 32, 253, 254, 255],
        "ground": [40, 44, 48, 49, 60],
        "building": [50],
        "plant": [70, 71, 72],
        "object": [51, 80, 81, 99],
    },
    "ignore": [0, 1, 52],
    "colours": {"vehicle": [30, 90, 250], "plant": [20, 160, 40]},
    "synonyms": {"vehicle": ["car", "truck", "sedan"], "plant": ["tree", "bush", "leaf"], "ground": ["road"]},
}
"""Six classes; raw ids are those of SemanticKITTI, in which the frames are labelled."""

KITTI_COLUMNS = ["x", "y", "z", "intensity"]
NUSCENES_COLUMNS = ["x", "y", "z", "intensity", "ring"]


def plain_from_semantickitti(source: Path, target: Path, suffix: str = ".png") -> None:
    """Rewrite one sequence of SemanticKITTI's layout. suffix: .jpg writes the images anew as JPEG."""
    for kind, name in (("velodyne", "points"), ("labels", "labels")):
        shutil.copytree(source / kind, target / name)
    (target / "images/front").mkdir(parents=True)
    for image in sorted((source / "image_2").iterdir()):
        if suffix == image.suffix:
            shutil.copyfile(image, target / "images/front" / image.name)
        else:
            Image.open(image).convert("RGB").save(target / "images/front" / f"{image.stem}{suffix}")
    lines = (line.split(":") for line in (source / "calib.txt").read_text().splitlines())
    matrix = {key: np.array(text.split(), float).reshape(3, 4) for key, text in lines}
    P, Tr = matrix["P2"], np.vstack([matrix["Tr"], [0, 0, 0, 1]])
    offset = np.eye(4)
    offset[:3, 3] = np.linalg.solve(P[:, :3], P[:, 3])
    camera = {"K": P[:, :3].tolist(), "cam_from_lidar": (offset @ Tr).tolist()}
    (target / "calibration.json").write_text(json.dumps({"cameras": {"front": camera}}))


def plain_from_nuscenes(source: Path, target: Path, frame: str = "1533151603547590") -> None:
    """Rewrite the key frame: 5 columns, six cameras in JPEG, no labels."""
    (target / "points").mkdir(parents=True)
    shutil.copyfile(source / "LIDAR_TOP.bin", target / "points" / f"{frame}.bin")
    entries = json.loads((source / "calibration.json").read_text())["cameras"]
    for name, entry in entries.items():
        (target / "images" / name).mkdir(parents=True)
        shutil.copyfile(source / entry["image"], target / "images" / name / f"{frame}.jpg")
    cameras = {name: {key: entry[key] for key in ("K", "cam_from_lidar")} for name, entry in entries.items()}
    (target / "calibration.json").write_text(json.dumps({"cameras": cameras}))


def manifest_of(datasets: dict[str, Any]) -> dict[str, Any]:
    """A manifest with the stand-in models."""
    return {
        "schema": 1,
        "default": next(iter(datasets)),
        "datasets": datasets,
        "image_captions": {"name": "palette"},
        "entities": {"name": "palette"},
        "text_embeddings": {"name": "hashing"},
    }
