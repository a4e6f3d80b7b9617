"""A project of any number of tiny scans: a few simulated ones, thinned, linked under many ids."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lass3d_core.manifest.schema import SimulateSpec, SplitSpec
from preprocess.simulation.street import rig
from preprocess.simulation.street.writer import write_street

DATASET = "scale"
SEQUENCE = 250
"""Scans of a sequence."""

_DIFFERENT = 6
_KEPT_POINTS = 8
_SHRUNK = 4


@dataclass(frozen=True)
class Size:
    """The size of the project. shard_scans: scans per block. cameras: images per scan, all the same image."""

    scans: int
    cameras: int
    shard_scans: int

    @property
    def sequences(self) -> dict[str, int]:
        """Name -> number of scans. One more scan is the validation split."""
        full, rest = divmod(self.scans, SEQUENCE)
        counts = [SEQUENCE] * full + [rest] * (rest > 0)
        return {f"{number:03d}": count for number, count in enumerate(counts)} | {"val": 1}


def write_originals(folder: Path) -> None:
    """Simulate a few scans; keep every eighth point, and every fourth row and column of pixels."""
    write_street(
        folder / "full", SimulateSpec(train=_DIFFERENT, val=1, test=1), SplitSpec(("0",), ("1",), ("2",))
    )
    full = folder / "full" / "sequences" / "0"
    for number in range(_DIFFERENT):
        points = np.fromfile(full / "velodyne" / f"{number:06d}.bin", np.float32).reshape(-1, 4)
        labels = np.fromfile(full / "labels" / f"{number:06d}.label", np.uint32)
        image = np.array(Image.open(full / "image_2" / f"{number:06d}.png"))
        points[::_KEPT_POINTS].tofile(folder / f"{number}.bin")
        labels[::_KEPT_POINTS].tofile(folder / f"{number}.label")
        Image.fromarray(image[::_SHRUNK, ::_SHRUNK]).save(folder / f"{number}.png")


def write_project(folder: Path, originals: Path, size: Size) -> Path:
    """Link to the originals in SemanticKITTI's layout; returns the manifest."""
    cameras = [f"image_{number}" for number in range(2, 2 + size.cameras)]
    for name, count in size.sequences.items():
        sequence = folder / "data" / "sequences" / name
        for inside in ("velodyne", "labels", *cameras):
            (sequence / inside).mkdir(parents=True)
        (sequence / "calib.txt").write_text(_calibration(cameras), encoding="utf-8")
        for scan in range(count):
            original = scan % _DIFFERENT
            os.link(originals / f"{original}.bin", sequence / "velodyne" / f"{scan:06d}.bin")
            os.link(originals / f"{original}.label", sequence / "labels" / f"{scan:06d}.label")
            for camera in cameras:
                os.link(originals / f"{original}.png", sequence / camera / f"{scan:06d}.png")
    manifest = folder / "data_manifest.yaml"
    manifest.write_text(_manifest(size, cameras), encoding="utf-8")
    return manifest


def _calibration(cameras: list[str]) -> str:
    scaled = rig.intrinsics() / [[_SHRUNK], [_SHRUNK], [1.0]]
    projection = " ".join(f"{value:.12e}" for value in np.column_stack([scaled, np.zeros(3)]).ravel())
    transform = " ".join(f"{value:.12e}" for value in rig.cam0_from_velodyne()[:3].ravel())
    lines = [f"P{camera.removeprefix('image_')}: {projection}\n" for camera in cameras]
    return "".join([*lines, f"Tr: {transform}\n"])


def _manifest(size: Size, cameras: list[str]) -> str:
    names = ", ".join(f'"{name}"' for name in size.sequences if name != "val")
    return f"""\
schema: 1
default: {DATASET}
datasets:
  {DATASET}:
    reader: semantickitti
    root: data
    splits: {{train: [{names}], val: [val]}}
    views: [{", ".join(cameras)}]
image_captions: {{name: palette}}
entities: {{name: palette, vocabulary: captions}}
text_embeddings: {{name: hashing, params: {{dim: 512}}}}
shard_scans: {size.shard_scans}
workers: 1
"""
