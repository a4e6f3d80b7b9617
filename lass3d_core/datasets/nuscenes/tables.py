"""The key frames of nuScenes, joined from its tables.

A version of nuScenes is a folder of tables. Each table is a JSON list of records that refer to each other by
token. The tables of v1.0-trainval hold 2.5 million records in 1.5 GB; a tenth of them belong to key frames of
the LiDAR and the six cameras. So tables are read record by record, and only the fields that a key frame needs
are kept: tables of 600 MB took 120 MB of memory and, on a busy machine, a minute.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from lass3d_core.datasets.nuscenes.records import records, table_of
from lass3d_core.errors import DataError
from lass3d_core.geometry.projection import invert_rigid, rigid

LIDAR = "LIDAR_TOP"
# The tables from which the key frames are joined. The test set has no lidarseg.
TABLES = ("sensor", "calibrated_sensor", "ego_pose", "scene", "sample", "sample_data", "lidarseg")

T = TypeVar("T")


@dataclass(frozen=True)
class KeyFrames:
    """The S key frames of a version, by scene and time, with the images of C cameras."""

    scenes: tuple[str, ...]  # S names
    tokens: tuple[str, ...]  # S tokens of the LiDAR's sample_data
    points: tuple[str, ...]  # S files below the data set's root
    labels: tuple[str, ...]  # S files; a missing one is ""
    images: tuple[str, ...]  # S*C files, frame by frame
    size_hw: np.ndarray  # (S,C,2) int64, see Camera
    K: np.ndarray  # (S,C,3,3) float64
    cam_from_points: np.ndarray  # (S,C,4,4) float64


class _Mounted(NamedTuple):
    """A sensor on its vehicle. camera_intrinsic: a list of three rows, empty if it is not a camera."""

    channel: str
    ego_from_sensor: np.ndarray
    camera_intrinsic: Any


class _Shot(NamedTuple):
    """The recording of one sensor at one key frame."""

    token: str
    file: str
    size_hw: tuple[int, int]
    mounted: _Mounted
    ego_pose: str


def read_key_frames(folder: Path, cameras: Sequence[str]) -> KeyFrames:
    """Read the key frames in the tables of `folder`, with the images of `cameras` in that order.

    Raises DataError if a table is missing or damaged, a record lacks a key, a token refers to nothing, a
    sensor has no key frame, or a value has a wrong type.
    """
    try:
        frames = _join_tables(folder, cameras)
    except TypeError as error:  # types are not checked one by one, because there are millions of values
        raise DataError(f"{folder}: a table holds a value of a wrong type ({error}); copy it again") from None
    for file in (*frames.points, *frames.labels, *frames.images):
        if not isinstance(file, str) or file.startswith("/") or ".." in file.split("/") or "\0" in file:
            raise DataError(f"{folder}: {str(file)[:99]!r} is no file of the data set; copy it again")
    return frames


def _join_tables(folder: Path, cameras: Sequence[str]) -> KeyFrames:
    shots = _shots(folder, (LIDAR, *cameras))
    global_from_ego = _ego_poses(folder, {shot.ego_pose for shot in shots.values()})
    labels = _label_files(folder)
    samples = _samples(folder)
    rows = [
        [_found(shots, (sample, channel), folder, "sample_data", "sample") for channel in (LIDAR, *cameras)]
        for _, _, sample in samples
    ]
    seen = [(lidar, shot) for lidar, *others in rows for shot in others]
    shape = (len(rows), len(cameras))
    return KeyFrames(
        scenes=tuple(scene for scene, _, _ in samples),
        tokens=tuple(lidar.token for lidar, *_ in rows),
        points=tuple(lidar.file for lidar, *_ in rows),
        labels=tuple(labels.get(lidar.token, "") for lidar, *_ in rows),
        images=tuple(shot.file for _, shot in seen),
        size_hw=np.array([shot.size_hw for _, shot in seen], np.int64).reshape(*shape, 2),
        K=np.array([_intrinsics(shot, folder) for _, shot in seen], np.float64).reshape(*shape, 3, 3),
        cam_from_points=np.array(
            [_camera_from_lidar(lidar, shot, global_from_ego) for lidar, shot in seen], np.float64
        ).reshape(*shape, 4, 4),
    )


def _samples(folder: Path) -> list[tuple[str, int, str]]:
    """Scene, time and token of every key frame, in that order."""
    scenes = records(table_of(folder, "scene"), ("token", "name"))
    scene_of = {one["token"]: one["name"] for one in scenes}
    keys = ("token", "scene_token", "timestamp")
    return sorted(
        (_found(scene_of, one["scene_token"], folder, "scene", "sample"), one["timestamp"], one["token"])
        for one in records(table_of(folder, "sample"), keys)
    )


def _label_files(folder: Path) -> dict[str, str]:
    """Token of the LiDAR's sample_data -> label file; empty if the version has no labels."""
    path = table_of(folder, "lidarseg")
    if not path.exists():
        return {}
    keys = ("sample_data_token", "filename")
    return {one["sample_data_token"]: one["filename"] for one in records(path, keys)}


def _shots(folder: Path, channels: Collection[str]) -> dict[tuple[str, str], _Shot]:
    """(token of the sample, channel) -> recording, for the key frames of `channels`."""
    mounted = _mounted(folder, channels)
    keys = "token sample_token ego_pose_token calibrated_sensor_token filename width height is_key_frame"
    found = {}
    for one in records(table_of(folder, "sample_data"), keys.split()):
        if not one["is_key_frame"]:
            continue
        sensor = _found(mounted, one["calibrated_sensor_token"], folder, "calibrated_sensor", "sample_data")
        if sensor.channel in channels:
            size_hw = (one["height"] or 0, one["width"] or 0)
            found[one["sample_token"], sensor.channel] = _Shot(
                one["token"], one["filename"], size_hw, sensor, one["ego_pose_token"]
            )
    return found


def _mounted(folder: Path, channels: Collection[str]) -> dict[str, _Mounted]:
    """Token of the calibrated sensor -> sensor."""
    path = table_of(folder, "sensor")
    channel_of = {one["token"]: one["channel"] for one in records(path, ("token", "channel"))}
    unknown = sorted(set(channels) - set(channel_of.values()))
    if unknown:
        known = ", ".join(sorted(set(channel_of.values())))
        raise DataError(f"{path} has no sensor {unknown[0]} (it has {known}); mend `views` in the manifest")
    path = table_of(folder, "calibrated_sensor")
    keys = ("token", "sensor_token", "rotation", "translation", "camera_intrinsic")
    return {
        one["token"]: _Mounted(
            _found(channel_of, one["sensor_token"], folder, "sensor", "calibrated_sensor"),
            _pose(one, path),
            one["camera_intrinsic"],
        )
        for one in records(path, keys)
    }


def _ego_poses(folder: Path, wanted: Collection[str]) -> dict[str, np.ndarray]:
    """Token -> global_from_ego (4,4) float64 of the `wanted` poses. Raises DataError if one is missing."""
    path = table_of(folder, "ego_pose")
    poses = {
        one["token"]: _pose(one, path)
        for one in records(path, ("token", "rotation", "translation"))
        if one["token"] in wanted
    }
    return {token: _found(poses, token, folder, "ego_pose", "sample_data") for token in wanted}


def _pose(record: Mapping[str, Any], path: Path) -> np.ndarray:
    """The rigid transform (4,4) float64 of a record, x -> rotation x + translation. Raises DataError."""
    where = f"{path}: record {record['token']}"
    quaternion, translation = _finite(record["rotation"], (4,)), _finite(record["translation"], (3,))
    if quaternion is None or not abs(np.linalg.norm(quaternion) - 1) < 1e-3:
        what = f"{where} has a rotation that is no unit quaternion (w, x, y, z)"
        raise DataError(f"{what}; copy the table again")
    if translation is None:
        raise DataError(f"{where} has a translation that is not three finite numbers; copy the table again")
    return rigid(rotation_of_quaternion(quaternion), translation)


def rotation_of_quaternion(quaternion: np.ndarray) -> np.ndarray:
    """The rotation (3,3) of a quaternion (4,), in the order (w, x, y, z) and of any length."""
    w, x, y, z = (quaternion / np.linalg.norm(quaternion)).tolist()
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _camera_from_lidar(lidar: _Shot, shot: _Shot, global_from_ego: Mapping[str, np.ndarray]) -> np.ndarray:
    """cam_from_points (4,4): from the LiDAR to the vehicle, the world, the vehicle, the camera."""
    # The two times differ by up to 0.05 s, in which the vehicle moves up to half a metre.
    global_from_lidar = global_from_ego[lidar.ego_pose] @ lidar.mounted.ego_from_sensor
    global_from_cam = global_from_ego[shot.ego_pose] @ shot.mounted.ego_from_sensor
    return invert_rigid(global_from_cam) @ global_from_lidar


def _intrinsics(shot: _Shot, folder: Path) -> np.ndarray:
    """K (3,3) float64. Raises DataError."""
    K = _finite(shot.mounted.camera_intrinsic, (3, 3))
    if K is None:
        path = table_of(folder, "calibrated_sensor")
        what = f"a {shot.mounted.channel} has a camera_intrinsic that is not 3 x 3 finite numbers"
        raise DataError(f"{path}: {what}; copy it again")
    return K


def _finite(value: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """The value as an array of float64; None if it is no list of finite numbers of this shape."""
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError):
        return None
    return array if array.shape == shape and np.isfinite(array).all() else None


def _found(table: Mapping[Any, T], key: Any, folder: Path, name: str, referrer: str) -> T:
    """table[key]. Raises DataError, which says that `referrer` names a record that table `name` lacks."""
    try:
        return table[key]
    except KeyError:
        shown = " of sensor ".join(key) if isinstance(key, tuple) else key
        raise DataError(
            f"{table_of(folder, name)} lacks the record {shown}, which {referrer}.json names; copy both again"
        ) from None
