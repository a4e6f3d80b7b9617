"""Scans of nuScenes' kind, for benchmarks: one LiDAR sweep, six cameras of 1600 x 900, masks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lass3d_core.files.masks import encode
from lass3d_core.geometry.projection import rigid
from lass3d_core.labels import IGNORE
from lass3d_core.records import NONE, Camera, Entity, FilePart, Scan, View
from preprocess.simulation.pinhole import cast_from, pixel_directions
from preprocess.simulation.shapes import NOTHING
from preprocess.simulation.street.materials import MATERIALS
from preprocess.simulation.street.sensors import LidarModel, sweep
from preprocess.simulation.street.world import build_scene, drive, lay_out
from preprocess.stages.pairing import Entities

SIZE_HW = (900, 1600)
YAW_AND_FOCAL = ((0, 1266), (-55, 1260), (55, 1272), (180, 809), (110, 1257), (-110, 1260))
LIDAR = LidarModel(beams=64, azimuths=2300, lowest_deg=-25, highest_deg=6, range_m=80)


@dataclass(frozen=True)
class Frame:
    """One scan with its views, their entities, and the slot of each phrase."""

    scan: Scan
    found: Entities
    slot_of: dict[str, int]


def simulated(count: int, seed: int = 0) -> Frame:
    """A street of the demo's world, seen by a LiDAR of 64 beams and by six cameras of nuScenes' size.

    Labels and entities are the true classes. Entities are cast for every fourth row and column of pixels.
    """
    rng = np.random.default_rng(seed)
    layout = lay_out(rng, frames=1)
    scene, pose = build_scene(rng, layout), drive(rng, layout)[0]
    measured = sweep(scene, pose, rng, LIDAR)
    views, found = [], {}
    for slot, (yaw_deg, focal) in enumerate(YAW_AND_FOCAL):
        camera = camera_at(yaw_deg, focal, SIZE_HW)
        small = camera_at(yaw_deg, focal / 4, (SIZE_HW[0] // 4, SIZE_HW[1] // 4))
        world_from_camera = pose @ np.linalg.inv(camera.cam_from_points)
        _, solid = cast_from(scene, world_from_camera, pixel_directions(small), LIDAR.range_m)
        classes = np.where(solid == NOTHING, NONE, scene.material[solid]).reshape(small.size_hw)
        views.append(View(str(slot), FilePart(Path(str(slot))), camera))
        found[str(slot)] = entities_of(classes.repeat(4, axis=0).repeat(4, axis=1))
    class_of = {material.raw_id: index for index, material in enumerate(MATERIALS)}
    labels = np.array([class_of.get(raw, IGNORE) for raw in measured.raw_labels.tolist()], np.uint8)
    return frame_of(measured.points, measured.remission, labels, views, found, count)


def real(folder: Path, count: int) -> Frame:
    """nuScenes' points and cameras. There are no masks, so each image gets blobs of the size of things."""
    rng = np.random.default_rng(0)
    rows = np.fromfile(folder / "LIDAR_TOP.bin", np.float32).reshape(-1, 5)
    entries = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))["cameras"]
    views, found = [], {}
    for name, entry in entries.items():
        camera = Camera(np.array(entry["K"]), np.array(entry["cam_from_lidar"]), SIZE_HW)
        views.append(View(name, FilePart(folder / entry["image"]), camera))
        found[name] = blobs(rng)
    return frame_of(rows[:, :3], rows[:, 3] / 255, None, views, found, count)


def frame_of(
    points: np.ndarray,
    remission: np.ndarray,
    labels: np.ndarray | None,
    views: list[View],
    found: Entities,
    count: int,
) -> Frame:
    """A frame of `count` points: the given ones in order, thinned out or repeated with a jitter of 2 cm.

    Phrases get their slots in alphabetical order, as in `pair`.
    """
    taken = np.arange(count) * len(points) // count
    repeats = np.diff(taken, prepend=-1) == 0
    jitter = np.random.default_rng(0).normal(0, 0.02, (count, 3)) * repeats[:, None]
    scan = Scan(
        scan_id="000000",
        points=(points[taken] + jitter).astype(np.float32),
        features=remission[taken, None],
        labels=None if labels is None else labels[taken],
        views=tuple(views),
    )
    phrases = sorted({one.phrase for of_image in found.values() for one in of_image})
    return Frame(scan, found, {phrase: slot for slot, phrase in enumerate(phrases)})


def entities_of(classes: np.ndarray) -> list[Entity]:
    """One entity per class (H,W) that is not NONE."""
    height, width = classes.shape
    return [
        Entity(MATERIALS[index].name, 1.0, (0.0, 0.0, width, height), encode(classes == index))
        for index in np.unique(classes[classes != NONE])
    ]


def blobs(rng: np.random.Generator, count: int = 12) -> list[Entity]:
    """`count` ellipses of 40 to 500 pixels across, as entities."""
    height, width = SIZE_HW
    v, u = np.ogrid[:height, :width]
    found = []
    for number in range(count):
        across, down = rng.uniform(20, 250, 2)
        shape = ((u - rng.uniform(0, width)) / across) ** 2 + ((v - rng.uniform(0, height)) / down) ** 2 < 1
        found.append(Entity(f"thing {number}", 1.0, (0.0, 0.0, width, height), encode(shape)))
    return found


def camera_at(yaw_deg: float, focal: float, size_hw: tuple[int, int]) -> Camera:
    """A level camera on the roof that looks `yaw_deg` to the left of ahead."""
    yaw = np.deg2rad(yaw_deg)
    forward, right = (np.cos(yaw), np.sin(yaw), 0.0), (np.sin(yaw), -np.cos(yaw), 0.0)
    K = np.array([[focal, 0, size_hw[1] / 2], [0, focal, size_hw[0] / 2], [0, 0, 1]])
    return Camera(K, rigid(np.array([right, (0.0, 0.0, -1.0), forward]), np.array([0, -0.3, -0.4])), size_hw)
