"""Write simulated rooms in the layout of ScanNet, in parallel.

A scene depends on (seed, split, number) alone, and its folder is renamed into place when it is whole. So a
killed run that is started again ends with the same bytes. Beside `scans/` stand `room.json`, the record of
tree.py, and the lists of the splits under ScanNet's names.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lass3d_core.clouds.ply import write_ply
from lass3d_core.files.atomic import atomic_folder, remove_parts, write_text
from lass3d_core.manifest.schema import SimulateSpec
from lass3d_core.settings import to_json
from preprocess.simulation.room.sensors import (
    COLOUR_HW,
    COLOUR_K,
    DEPTH_HW,
    DEPTH_K,
    Surface,
    camera_image,
    depth_image,
    fused,
    seen_from,
    walk,
)
from preprocess.simulation.room.world import Room, build_room
from preprocess.simulation.tree import SimulationReport, do_all, settle

GENERATOR = 1
"""Raise it with every change after which the files differ."""

_LOST = 0.3  # share of scenes with a frame whose pose is unknown
_UNEXPORTED = 0.5  # frames that the mesh was fused from but that were not exported, per exported frame
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class RoomScene:
    """A scene to simulate. entropy: the seed."""

    name: str
    entropy: tuple[int, int, int]
    frames: int

    def random(self, purpose: int) -> np.random.Generator:
        """The random numbers for one purpose."""
        return np.random.default_rng((*self.entropy, purpose))


def write_rooms(root: Path, spec: SimulateSpec, workers: int = 0) -> SimulationReport:
    """Simulate the missing scenes below `root`/scans and write the lists `root`/scannetv2_SPLIT.txt.

    workers: processes of one thread each; 0 for one per core. A tree of another `spec` is replaced.
    Raises DataError for a scene that the simulator did not write, StorageError.
    """
    splits = _scenes(spec)
    scenes = [scene for of_split in splits.values() for scene in of_split]
    folder = root / "scans"
    renewed = settle(root / "room.json", folder, [scene.name for scene in scenes], _made_from(spec))
    for split, of_split in splits.items():
        _write_list(root / f"scannetv2_{split}.txt", of_split)
    remove_parts(folder)
    missing = [(folder, scene) for scene in scenes if not (folder / scene.name).is_dir()]
    do_all(_write_scene, missing, workers, "room", "room")
    return SimulationReport(root, len(missing), len(scenes) - len(missing), renewed)


def _scenes(spec: SimulateSpec) -> dict[str, list[RoomScene]]:
    """Split -> its scenes, which are numbered over all splits."""
    found: dict[str, list[RoomScene]] = {}
    names = (f"scene{number:04d}_00" for number in count())
    for number, split in enumerate(("train", "val", "test")):
        entropies = [(spec.seed, number, i) for i in range(getattr(spec, split))]
        found[split] = [RoomScene(next(names), entropy, spec.frames_per_room) for entropy in entropies]
    return found


def _made_from(spec: SimulateSpec) -> dict[str, Any]:
    """The settings that decide the files."""
    own, values = ("train", "val", "test", "seed", "frames_per_room"), to_json(spec)
    return {"generator": GENERATOR} | {key: values[key] for key in own}


def _write_list(path: Path, scenes: list[RoomScene]) -> None:
    text = "".join(f"{scene.name}\n" for scene in scenes)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def _write_scene(job: tuple[Path, RoomScene]) -> None:
    scans, scene = job
    room = build_room(scene.random(0))
    poses = walk(scene.random(1), room.plan, room.world_from_room, scene.frames)
    surfaces = [seen_from(room, pose, COLOUR_K, COLOUR_HW) for pose in poses]
    with atomic_folder(scans / scene.name) as folder:
        _write_frames(folder, scene, room, poses, surfaces)
        _write_cameras(folder, scene, room)
        _write_mesh(folder, scene, room, surfaces)


def _write_frames(
    folder: Path, scene: RoomScene, room: Room, poses: list[np.ndarray], surfaces: list[Surface]
) -> None:
    """Write color/N.jpg, depth/N.png, pose/N.txt. In some scenes one pose is unknown, written as -inf."""
    rng = scene.random(2)
    lost = rng.integers(scene.frames) if scene.frames > 1 and rng.random() < _LOST else None
    for name in ("color", "depth", "pose"):
        (folder / name).mkdir()
    for frame, (pose, surface) in enumerate(zip(poses, surfaces, strict=True)):
        image, depth = camera_image(surface, rng), depth_image(room, pose, rng)
        Image.fromarray(image).save(folder / "color" / f"{frame}.jpg", quality=_JPEG_QUALITY, subsampling=0)
        Image.fromarray(depth).save(folder / "depth" / f"{frame}.png")
        written = np.full((4, 4), -np.inf) if frame == lost else pose
        (folder / "pose" / f"{frame}.txt").write_text(_matrix(written), encoding="ascii")


def _write_cameras(folder: Path, scene: RoomScene, room: Room) -> None:
    """Write intrinsic/*.txt, as SensReader does, and the facts of the scene."""
    (folder / "intrinsic").mkdir()
    for name, K in (("color", COLOUR_K), ("depth", DEPTH_K)):
        intrinsic = np.eye(4)
        intrinsic[:3, :3] = K
        (folder / "intrinsic" / f"intrinsic_{name}.txt").write_text(_matrix(intrinsic), encoding="ascii")
        (folder / "intrinsic" / f"extrinsic_{name}.txt").write_text(_matrix(np.eye(4)), encoding="ascii")
    facts = {
        "axisAlignment": _matrix(np.linalg.inv(room.world_from_room)).replace("\n", " ").rstrip(),
        "colorHeight": COLOUR_HW[0],
        "colorWidth": COLOUR_HW[1],
        "depthHeight": DEPTH_HW[0],
        "depthWidth": DEPTH_HW[1],
        "numColorFrames": scene.frames,
        "numDepthFrames": scene.frames,
        "sceneType": room.kind,
    }
    text = "".join(f"{key} = {value}\n" for key, value in facts.items())
    (folder / f"{scene.name}.txt").write_text(text, encoding="ascii")


def _write_mesh(folder: Path, scene: RoomScene, room: Room, surfaces: list[Surface]) -> None:
    """Write the vertices and their labels, fused from the exported frames and some that are not exported."""
    more = walk(scene.random(3), room.plan, room.world_from_room, round(_UNEXPORTED * scene.frames))
    surfaces = [*surfaces, *(seen_from(room, pose, DEPTH_K, DEPTH_HW) for pose in more)]
    vertices = fused(surfaces, room, scene.random(4))
    mesh = folder / f"{scene.name}_vh_clean_2.ply"
    write_ply(mesh, vertices.points, vertices.colours)
    write_ply(mesh.with_suffix(".labels.ply"), vertices.points, vertices.colours, {"label": vertices.labels})


def _matrix(values: np.ndarray) -> str:
    """A (4,4) matrix as four lines of four numbers."""
    return "".join(" ".join(f"{value:.6f}" for value in row) + "\n" for row in values)
