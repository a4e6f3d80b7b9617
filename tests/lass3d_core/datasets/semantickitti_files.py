"""A tiny SemanticKITTI: a road with a car on it, seen by one camera."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

ROAD, CAR = 40, 10
CALIBRATION = (
    "P0: 40 0 32 0 0 40 24 0 0 0 1 0\nP2: 40 0 32 2 0 40 24 0 0 0 1 0\nTr: 0 -1 0 0 0 0 -1 -0.1 1 0 0 -0.3\n"
)


def write_semantickitti(root: Path, sequences: Sequence[str], unlabelled: Sequence[str] = ()) -> None:
    """Write sequences of two scans; those of `unlabelled` get no label files."""
    rng = np.random.default_rng(0)
    for sequence in (*sequences, *unlabelled):
        labelled = sequence not in unlabelled
        folder = root / "sequences" / sequence
        for part in ("velodyne", "image_2", *(("labels",) if labelled else ())):
            (folder / part).mkdir(parents=True)
        (folder / "calib.txt").write_text(CALIBRATION)
        for frame in ("000000", "000001"):
            road = rng.uniform([-10, -8, -1.8, 0], [20, 8, -1.7, 0.3], (250, 4))
            car = rng.uniform([6, -1, -1.6, 0.5], [9, 1, -0.2, 0.9], (150, 4))
            np.concatenate([road, car]).astype("<f4").tofile(folder / "velodyne" / f"{frame}.bin")
            if labelled:
                np.repeat([ROAD, CAR], [250, 150]).astype("<u4").tofile(folder / "labels" / f"{frame}.label")
            picture = np.full((48, 64, 3), (84, 84, 87), np.uint8)
            picture[18:34, 24:40] = (178, 26, 26)
            Image.fromarray(picture).save(folder / "image_2" / f"{frame}.png")
