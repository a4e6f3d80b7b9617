"""A tiny data set in the plain layout: a street with a thing on it, seen by two cameras."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

GROUND, THING = 7, 3
FRAMES = ("000000", "000001")

FRONT: dict[str, Any] = {
    "K": [[40.0, 0, 32], [0, 40.0, 24], [0, 0, 1]],
    "cam_from_lidar": [[0, -1, 0, 0], [0, 0, -1, -0.1], [1, 0, 0, -0.3], [0, 0, 0, 1]],
}
BACK: dict[str, Any] = FRONT | {"cam_from_lidar": [[0, 1, 0, 0], [0, 0, -1, 0], [-1, 0, 0, 0], [0, 0, 0, 1]]}


def cloud(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """x, y, z, intensity (400,4) float32 and raw ids (400,) int64."""
    rng = np.random.default_rng(seed)
    ground = rng.uniform([-10, -8, -1.8, 0], [20, 8, -1.7, 0.3], (250, 4))
    thing = rng.uniform([6, -1, -1.6, 0.5], [9, 1, -0.2, 0.9], (150, 4))
    return np.concatenate([ground, thing]).astype(np.float32), np.repeat([GROUND, THING], [250, 150])


def write_plain(root: Path, sequences: Sequence[str], frames: Sequence[str] = FRAMES) -> None:
    """Write sequences with .npy points, .npy labels, two cameras and their calibration."""
    for sequence in sequences:
        folder = root / sequence
        for part in ("points", "labels", "images/front", "images/back"):
            (folder / part).mkdir(parents=True)
        write_calibration(folder, {"front": FRONT, "back": BACK})
        for seed, frame in enumerate(frames):
            values, raw = cloud(seed)
            np.save(folder / "points" / f"{frame}.npy", values)
            np.save(folder / "labels" / f"{frame}.npy", raw)
            picture = np.full((48, 64, 3), (84, 84, 87), np.uint8)
            picture[18:34, 24:40] = (178, 26, 26)
            Image.fromarray(picture).save(folder / "images/front" / f"{frame}.png")
            Image.fromarray(picture).save(folder / "images/back" / f"{frame}.jpg")


def write_calibration(folder: Path, cameras: dict[str, Any]) -> None:
    (folder / "calibration.json").write_text(json.dumps({"cameras": cameras}))
