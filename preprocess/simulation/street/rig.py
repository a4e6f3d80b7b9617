"""Where the cameras stand relative to the LiDAR, and the lines of KITTI's calibration files.

LiDAR frame: x forward, y left, z up. Camera frame: x right, y down, z forward.
As in KITTI, P0 to P3 are projections K [I | t] (3,4) from the frame of cam0, and Tr is cam0_from_velodyne.
With four cameras, the three extra ones look left, back and right. They are turned against cam0, which a
translation t cannot express. So each has a line `Tr_i` (cam_i_from_velodyne) beside `P_i` = K [I | 0].
"""

from __future__ import annotations

import numpy as np

from lass3d_core.geometry.projection import rigid
from lass3d_core.records import Camera

IMAGE_HW = (96, 320)
# 94 degrees wide: a fifth of the points fall into the front image.
_FOCAL_PX = 148.0
# Above the middle, as in KITTI: the ground matters more than the sky.
_CENTRE_PX = (160.0, 41.5)

_CAM2_FROM_CAM0_M = (0.0597, -0.0004, 0.0027)
_CAM1_FROM_CAM0_M = (-0.5371, 0.0, 0.0)
_CAM3_FROM_CAM0_M = (-0.4731, 0.0029, 0.0027)
_CAM0_FROM_VELODYNE_M = (-0.004, -0.076, -0.272)
_LOOK_RADIUS_M = 0.2
_VIEW_YAW_DEG = {"image_3": 90.0, "image_4": 180.0, "image_5": -90.0}


def intrinsics() -> np.ndarray:
    """K (3,3), pixels, the same for every camera."""
    return np.array([[_FOCAL_PX, 0.0, _CENTRE_PX[0]], [0.0, _FOCAL_PX, _CENTRE_PX[1]], [0.0, 0.0, 1.0]])


def cam0_from_velodyne() -> np.ndarray:
    """KITTI's `Tr` (4,4): swapped axes with a small misalignment and a small offset."""
    return rigid(_looking(np.deg2rad(0.4), np.deg2rad(-0.6)), np.array(_CAM0_FROM_VELODYNE_M))


def cameras(count: int) -> dict[str, Camera]:
    """Folder name -> camera: image_2 and, if count is 4, image_3, image_4 and image_5."""
    front = cam0_from_velodyne()
    front[:3, 3] += _CAM2_FROM_CAM0_M
    rig = {"image_2": Camera(intrinsics(), front, IMAGE_HW)}
    if count > 1:
        for name, yaw_deg in _VIEW_YAW_DEG.items():
            turn = _looking(np.deg2rad(yaw_deg), 0.0)
            transform = rigid(turn, np.array([0.0, -0.08, -_LOOK_RADIUS_M]))
            rig[name] = Camera(intrinsics(), transform, IMAGE_HW)
    return rig


def calibration_text(count: int) -> str:
    """The text of calib.txt, see the head of this file."""
    centre = (0.0, 0.0, 0.0)
    right = centre if count > 1 else _CAM3_FROM_CAM0_M
    offsets = {"P0": centre, "P1": _CAM1_FROM_CAM0_M, "P2": _CAM2_FROM_CAM0_M, "P3": right}
    rig = cameras(count)
    extra = [name.removeprefix("image_") for name in rig if name != "image_2"]
    offsets |= {f"P{number}": centre for number in extra}
    matrices = {key: intrinsics() @ np.column_stack([np.eye(3), by]) for key, by in offsets.items()}
    matrices["Tr"] = cam0_from_velodyne()[:3]
    matrices |= {f"Tr_{number}": rig[f"image_{number}"].cam_from_points[:3] for number in extra}
    return "".join(f"{key}: {_numbers(matrix)}\n" for key, matrix in matrices.items())


def pose_line(first: np.ndarray, pose: np.ndarray, aside_m: float) -> str:
    """A line of poses.txt: the pose of cam0 in the frame that cam0 had in the first scan of the sequence.

    first, pose: world_from_velodyne (4,4) of the first scan of the drive and of this scan.
    aside_m: how far the drive begins to the right of the first scan of the sequence.
    """
    cam0 = cam0_from_velodyne()
    relative = cam0 @ np.linalg.inv(first) @ pose @ np.linalg.inv(cam0)
    relative[0, 3] += aside_m
    return _numbers(relative[:3]) + "\n"


def _looking(yaw: float, pitch: float) -> np.ndarray:
    """Rotation camera_from_velodyne (3,3) of a camera turned left by `yaw` and up by `pitch` radians."""
    forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    return np.stack([right, np.cross(forward, right), forward])


def _numbers(matrix: np.ndarray) -> str:
    # Rounding, and adding 0 to a negative zero, make an identity readable.
    return " ".join(f"{value:.12e}" for value in matrix.round(12).ravel() + 0.0)
