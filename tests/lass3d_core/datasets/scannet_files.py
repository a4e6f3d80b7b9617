"""A tiny ScanNet, byte for byte in the official formats: a box-shaped room with a table, seen from within.

Mesh, colour and depth images come from the same planes, so that a vertex can be looked for in the images.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

ROOM = np.array([[0.0, 0, 0], [4, 3, 2.5]])
TABLE = np.array([[2.6, 1.0, 0], [3.4, 2.0, 0.8]])
EYE = np.array([1.2, 1.5, 1.3])

COLOUR_HW, DEPTH_HW = (48, 64), (24, 32)
COLOUR_K = np.array([[40.0, 0, 32.25], [0, 40.5, 23.75], [0, 0, 1]])
DEPTH_K = np.array([[20.0, 0, 16.25], [0, 20.25, 11.75], [0, 0, 1]])

WALL, FLOOR, TABLE_ID, CEILING = 1, 2, 7, 22
PAINT = {WALL: (204, 168, 117), FLOOR: (84, 84, 87), TABLE_ID: (178, 26, 26), CEILING: (158, 199, 235)}
"""nyu40 id -> colour: what `palette` calls a house, a road, a car, the sky. The ceiling is no class of the
benchmark."""


class Frame(NamedTuple):
    """pose (4,4) float32 camera to world; colour: a JPEG; depth (24,32) uint16 millimetres."""

    pose: np.ndarray
    colour: bytes
    depth: np.ndarray


def write_scannet(
    root: Path,
    scenes: Sequence[str] = ("scene0000_00",),
    frames: int = 6,
    sens: bool = False,
    unlabelled: Sequence[str] = (),
    lost: Sequence[int] = (),
) -> None:
    """Write the scenes below root/scans, those of `unlabelled` below root/scans_test.

    sens: frames as a .sens file, else exported. lost: numbers of the frames whose pose is -inf.
    """
    shots = room_frames(frames, lost)
    for scene in (*scenes, *unlabelled):
        folder = root / ("scans_test" if scene in unlabelled else "scans") / scene
        folder.mkdir(parents=True)
        points, nyu40 = room_points()
        write_mesh(folder / f"{scene}_vh_clean_2.ply", points, nyu40)
        if scene not in unlabelled:
            write_mesh(folder / f"{scene}_vh_clean_2.labels.ply", points, nyu40, labels=True)
        (folder / f"{scene}.txt").write_text(facts())
        if sens:
            (folder / f"{scene}.sens").write_bytes(sens_bytes(shots))
        else:
            export(folder, shots)


def room_frames(count: int, lost: Sequence[int] = ()) -> list[Frame]:
    """`count` frames that look once around the room from EYE, a little downwards."""
    frames = []
    for number in range(count):
        pose = camera_pose(2 * np.pi * number / count)
        rgb = np.array(
            [PAINT[one] for one in render(pose, COLOUR_K, COLOUR_HW)[1].ravel().tolist()], np.uint8
        )
        depth = np.round(1000 * render(pose, DEPTH_K, DEPTH_HW)[0]).astype(np.uint16)
        if number in lost:
            pose = np.full((4, 4), -np.inf, np.float32)
        frames.append(Frame(pose, jpeg(rgb.reshape(*COLOUR_HW, 3)), depth))
    return frames


def camera_pose(yaw: float) -> np.ndarray:
    """(4,4) float32 with six digits, as text files hold it: at EYE, looking along `yaw`, 15 degrees down."""
    down = np.radians(15)
    forward = np.array([np.cos(yaw) * np.cos(down), np.sin(yaw) * np.cos(down), -np.sin(down)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0])
    pose = np.eye(4)
    pose[:3, :4] = np.stack([right, np.cross(forward, right), forward, EYE], axis=1)
    return np.round(pose, 6).astype(np.float32)


def render(pose: np.ndarray, K: np.ndarray, size_hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Depth along the optical axis (H,W) in metres and nyu40 id (H,W), through the middle of each pixel."""
    v, u = np.mgrid[: size_hw[0], : size_hw[1]] + 0.5
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones(size_hw)], axis=-1)
    rays = rays @ pose[:3, :3].astype(np.float64).T
    with np.errstate(divide="ignore"):
        far = ((np.where(rays > 0, ROOM[1], ROOM[0]) - EYE) / rays).min(axis=-1)
        slabs = np.sort((TABLE[:, None, None] - EYE) / rays, axis=0)
    enter, leave = slabs[0].max(axis=-1), slabs[1].min(axis=-1)
    table = (enter < leave) & (enter > 0)
    depth = np.where(table, enter, far)
    hit = EYE + depth[..., None] * rays
    nyu40 = np.where(hit[..., 2] < 1e-6, FLOOR, np.where(hit[..., 2] > ROOM[1, 2] - 1e-6, CEILING, WALL))
    return depth, np.where(table, TABLE_ID, nyu40)


def room_points(step: float = 0.125) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (N,3) float32 on every surface of room and table, and their nyu40 ids (N,)."""
    found = []
    for box, ids in ((ROOM, (WALL, WALL, FLOOR, CEILING)), (TABLE, (TABLE_ID, TABLE_ID, None, TABLE_ID))):
        for axis in range(3):
            for side in range(2):
                nyu40 = ids[axis] if axis < 2 else ids[2 + side]
                if nyu40 is not None:  # the table stands on the floor
                    found.append((_face(box, axis, side, step), nyu40))
    points = np.concatenate([face for face, _ in found]).astype(np.float32)
    return points, np.concatenate([np.full(len(face), nyu40) for face, nyu40 in found])


def _face(box: np.ndarray, axis: int, side: int, step: float) -> np.ndarray:
    """A grid of points inside one face of a box."""
    ranges = [np.arange(box[0, i] + step / 2, box[1, i], step) for i in range(3)]
    ranges[axis] = box[side, axis : axis + 1]
    return np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)


def write_mesh(path: Path, points: np.ndarray, nyu40: np.ndarray, labels: bool = False) -> None:
    """A PLY as ScanNet writes it: vertices with colour and alpha, labels on demand, and faces."""
    fields = [(name, "<f4") for name in "xyz"] + [(name, "u1") for name in ("red", "green", "blue", "alpha")]
    names = {"<f4": "float", "u1": "uchar", "<u2": "ushort"}
    fields += [("label", "<u2")] if labels else []
    rows = np.zeros(len(points), fields)
    rows["x"], rows["y"], rows["z"] = points.T
    rows["red"], rows["green"], rows["blue"] = (
        np.array([PAINT.get(one, (0, 0, 0)) for one in nyu40]).reshape(-1, 3).T
    )
    rows["alpha"] = 255
    if labels:
        rows["label"] = nyu40
    faces = np.zeros(2, [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, (0, 1, 2)
    header = ["ply", "format binary_little_endian 1.0", "comment VCGLIB generated"]
    header += [f"element vertex {len(rows)}", *(f"property {names[kind]} {name}" for name, kind in fields)]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    path.write_bytes("\n".join(header).encode() + b"\n" + rows.tobytes() + faces.tobytes())


def export(folder: Path, frames: Sequence[Frame]) -> None:
    """The files that SensReader writes."""
    for name in ("color", "depth", "pose", "intrinsic"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames):
        (folder / "color" / f"{number}.jpg").write_bytes(frame.colour)
        Image.fromarray(frame.depth).save(folder / "depth" / f"{number}.png")
        write_matrix(folder / "pose" / f"{number}.txt", frame.pose)
    for kind, K in (("color", COLOUR_K), ("depth", DEPTH_K)):
        write_matrix(folder / "intrinsic" / f"intrinsic_{kind}.txt", wide(K))
        write_matrix(folder / "intrinsic" / f"extrinsic_{kind}.txt", np.eye(4))


def sens_bytes(frames: Sequence[Frame], colour_kind: int = 2, depth_kind: int = 1, version: int = 4) -> bytes:
    """A .sens file; kinds: 2 JPEG; 0 plain, 1 deflated depth."""
    name = b"StructureSensor"
    matrices = np.stack([wide(COLOUR_K), np.eye(4), wide(DEPTH_K), np.eye(4)]).astype("<f4")
    content = struct.pack("<IQ", version, len(name)) + name + matrices.tobytes()
    sides = (COLOUR_HW[1], COLOUR_HW[0], DEPTH_HW[1], DEPTH_HW[0])
    content += struct.pack("<2i4IfQ", colour_kind, depth_kind, *sides, 1000.0, len(frames))
    for number, frame in enumerate(frames):
        raw = frame.depth.astype("<u2").tobytes()
        depth = zlib.compress(raw) if depth_kind == 1 else raw
        content += frame.pose.astype("<f4").tobytes()
        content += struct.pack("<4Q", 33 * number, 33 * number + 1, len(frame.colour), len(depth))
        content += frame.colour + depth
    return content + struct.pack("<Q", 0)  # no frames of the inertial sensor


def facts() -> str:
    """SCENE.txt."""
    return (
        f"axisAlignment = {' '.join(['0.500000'] * 16)} \ncolorHeight = {COLOUR_HW[0]}\n"
        f"colorWidth = {COLOUR_HW[1]}\ndepthHeight = {DEPTH_HW[0]}\ndepthWidth = {DEPTH_HW[1]}\n"
        f"fx_color = {COLOUR_K[0, 0]:f}\nnumDepthFrames = 6\nsceneType = Apartment\n"
    )


def jpeg(rgb: np.ndarray) -> bytes:
    """rgb (H,W,3) uint8 with little loss."""
    content = io.BytesIO()
    Image.fromarray(rgb).save(content, "JPEG", quality=98, subsampling=0)
    return content.getvalue()


def wide(K: np.ndarray) -> np.ndarray:
    """K (3,3) as the (4,4) of the files."""
    matrix = np.eye(4)
    matrix[:3, :3] = K
    return matrix


def write_matrix(path: Path, matrix: np.ndarray) -> None:
    """Four lines of four numbers with six digits; -inf as such."""
    path.write_text("".join(" ".join(f"{one:f}" for one in row) + "\n" for row in matrix.tolist()))
