"""Writes nuScenes data sets, table by table as the official ones are laid out, as small as a test wants."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from lass3d_core.datasets.nuscenes.reader import CAMERAS

GENERAL_CLASSES = (
    "noise", "animal", "human.pedestrian.adult", "human.pedestrian.child",
    "human.pedestrian.construction_worker", "human.pedestrian.personal_mobility",
    "human.pedestrian.police_officer", "human.pedestrian.stroller", "human.pedestrian.wheelchair",
    "movable_object.barrier", "movable_object.debris", "movable_object.pushable_pullable",
    "movable_object.trafficcone", "static_object.bicycle_rack", "vehicle.bicycle", "vehicle.bus.bendy",
    "vehicle.bus.rigid", "vehicle.car", "vehicle.construction", "vehicle.emergency.ambulance",
    "vehicle.emergency.police", "vehicle.motorcycle", "vehicle.trailer", "vehicle.truck",
    "flat.driveable_surface", "flat.other", "flat.sidewalk", "flat.terrain", "static.manmade",
    "static.other", "static.vegetation", "vehicle.ego",
)  # fmt: skip
"""As the official category.json numbers them."""

SIZE_HW = (30, 48)
K = [[24.0, 0.0, 24.0], [0.0, 24.0, 15.0], [0.0, 0.0, 1.0]]
IMAGE = Image.new("RGB", SIZE_HW[::-1], (70, 130, 180))
ImageDraw.Draw(IMAGE).rectangle((0, 15, 48, 30), (100, 100, 100))
"""A sky over a road."""

Pose = dict[str, list[float]]


def token_of(*parts: object) -> str:
    """32 hexadecimal digits, as the official tokens are."""
    return hashlib.md5(repr(parts).encode()).hexdigest()


def pose(rotation: Sequence[float] = (1, 0, 0, 0), translation: Sequence[float] = (0, 0, 0)) -> Pose:
    """rotation: w, x, y, z of any length; written as a unit quaternion."""
    unit = np.array(rotation, float) / np.linalg.norm(rotation)
    return {"rotation": unit.tolist(), "translation": [float(value) for value in translation]}


def about_z(degrees: float) -> tuple[float, ...]:
    """The quaternion that turns to the left."""
    half = np.deg2rad(degrees) / 2
    return (float(np.cos(half)), 0.0, 0.0, float(np.sin(half)))


def facing(yaw: float) -> Pose:
    """A camera on the roof that looks `yaw` degrees to the left of the vehicle's front."""
    w, x, y, z = 0.5, -0.5, 0.5, -0.5  # z ahead, x right, y down
    c, _, _, s = about_z(yaw)
    return pose((c * w - s * z, c * x - s * y, c * y + s * x, c * z + s * w), (1.0, 0.0, 1.5))


def moved(scene: int, frame: int, channel: str) -> Pose:
    """Where the vehicle is when that sensor looks: no two look at the same time."""
    late = ("LIDAR_TOP", "RADAR_FRONT", *CAMERAS).index(channel)
    return pose(about_z(30 * scene + frame + 0.2 * late), (600 + 5 * frame + 0.1 * late, 1600, 0))


@dataclass
class Rig:
    """What carries the sensors: where they sit, and where the vehicle is when each of them looks.

    ego(scene, frame, channel): the vehicle's pose in the world at that sensor's time.
    """

    lidar: Pose = field(default_factory=lambda: pose(about_z(-90), (0.9, 0.0, 1.8)))
    cameras: dict[str, Pose] = field(
        default_factory=lambda: {name: facing(-60.0 * i) for i, name in enumerate(CAMERAS)}
    )
    K: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(CAMERAS, K))
    size_hw: tuple[int, int] = SIZE_HW
    ego: Callable[[int, int, str], Pose] = moved


def some_points(seed: int, count: int = 400) -> np.ndarray:
    """(N,5) float32: x, y, z, intensity in [0, 255], ring; all around the sensor."""
    random = np.random.default_rng(seed)
    angle, distance = random.uniform(0, 2 * np.pi, count), random.uniform(3, 20, count)
    rows = (
        distance * np.cos(angle),
        distance * np.sin(angle),
        random.uniform(-2, 2, count),
        random.integers(0, 256, count),
        random.integers(0, 32, count),
    )
    return np.stack(rows, axis=1).astype(np.float32)


def some_labels(points: np.ndarray) -> np.ndarray:
    """(N,) uint8 raw ids: road below, buildings above, cars to the right, and one point of noise."""
    labels = np.where(points[:, 2] < -1, 24, 28)
    labels[points[:, 0] > 10] = 17
    labels[0] = 0
    return labels.astype(np.uint8)


def write_nuscenes(
    root: Path,
    scenes: Sequence[str],
    version: str = "v1.0-trainval",
    frames: int = 2,
    labelled: bool = True,
    rig: Rig | None = None,
    points_of: Callable[[int], np.ndarray] = some_points,
    image_of: Callable[[str], Image.Image] = lambda channel: IMAGE,
) -> None:
    """Write `scenes` of `frames` key frames each, with one sweep between any two, below `root`."""
    rig = rig or Rig()
    tables = _fixed_tables(rig)
    for number, scene in enumerate(scenes):
        tables["scene"].append({"token": token_of(scene), "name": scene, "nbr_samples": frames})
        for frame in range(frames):
            _add_key_frame(tables, rig, (number, scene, frame), labelled and version)
            _write_files(root, tables, points_of(10 * number + frame), image_of, labelled)
    for table in ("sample", "sample_data", "ego_pose"):
        tables[table].reverse()  # no reader may rely on their order
    if not labelled:
        del tables["lidarseg"]
    folder = root / version
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        (folder / f"{name}.json").write_text(json.dumps(rows, indent=0))


def _fixed_tables(rig: Rig) -> dict[str, list[dict[str, Any]]]:
    """Every table, those that do not grow with the frames filled; a radar too, which nobody asks for."""
    sensors = {"LIDAR_TOP": (rig.lidar, []), "RADAR_FRONT": (pose(), [])}
    sensors |= {name: (mounted, rig.K[name]) for name, mounted in rig.cameras.items()}
    return {
        "sensor": [
            {"token": token_of(name), "channel": name, "modality": name.split("_")[0].lower()}
            for name in sensors
        ],
        "calibrated_sensor": [
            {
                "token": token_of(name, "mounted"),
                "sensor_token": token_of(name),
                **mounted,
                "camera_intrinsic": K,
            }
            for name, (mounted, K) in sensors.items()
        ],
        "category": [
            {"token": token_of(name), "name": name, "description": "…", "index": index}
            for index, name in enumerate(GENERAL_CLASSES)
        ],
        **{name: [] for name in ("scene", "sample", "sample_data", "ego_pose", "lidarseg")},
    }


def _add_key_frame(
    tables: dict[str, list[dict[str, Any]]], rig: Rig, key: tuple[int, str, int], labelled: str | bool
) -> None:
    number, scene, frame = key
    sample, time = token_of(scene, frame), 1_532_402_927_000_000 + 500_000 * frame
    tables["sample"].append({"token": sample, "scene_token": token_of(scene), "timestamp": time})
    for channel in ("LIDAR_TOP", "RADAR_FRONT", *rig.cameras):
        for is_key_frame in (True, False):
            token = token_of(scene, frame, channel, is_key_frame)
            suffix = {"L": ".pcd.bin", "R": ".pcd", "C": ".jpg"}[channel[0]]
            folder = f"{'samples' if is_key_frame else 'sweeps'}/{channel}"
            size = rig.size_hw if channel.startswith("CAM") else (0, 0)
            row = {
                "token": token,
                "sample_token": sample,
                "ego_pose_token": token,
                "calibrated_sensor_token": token_of(channel, "mounted"),
                "filename": f"{folder}/{scene}__{channel}__{frame}{suffix}",
                "height": size[0],
                "width": size[1],
                "is_key_frame": is_key_frame,
            }
            tables["sample_data"].append(row)
            ego = rig.ego(number, frame, channel) if is_key_frame else pose()
            tables["ego_pose"].append({"token": token, "timestamp": time, **ego})
    token = token_of(scene, frame, "LIDAR_TOP", True)
    filename = f"lidarseg/{labelled}/{token}_lidarseg.bin"
    tables["lidarseg"].append({"token": token, "sample_data_token": token, "filename": filename})


def _write_files(
    root: Path,
    tables: dict[str, list[dict[str, Any]]],
    points: np.ndarray,
    image_of: Callable[[str], Image.Image],
    labelled: bool,
) -> None:
    """The files of the last key frame."""
    sample = tables["sample"][-1]["token"]
    for row in tables["sample_data"]:
        if row["sample_token"] != sample or not row["is_key_frame"] or "RADAR" in row["filename"]:
            continue
        path = root / row["filename"]
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".bin":
            points.tofile(path)
        else:
            image_of(path.parent.name).save(path, quality=95)
    if labelled:
        path = root / tables["lidarseg"][-1]["filename"]
        path.parent.mkdir(parents=True, exist_ok=True)
        some_labels(points).tofile(path)
