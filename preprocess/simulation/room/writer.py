"""Writes simulated rooms as a ScanNet tree, in parallel, so that the real reader reads them.

Every scene follows from (seed, split, number) alone, and its folder appears whole: a killed run, run again,
ends with the same bytes. `room.json` beside `scans/` says what the tree was made from; the lists of the
splits lie there too, named as ScanNet's are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lass3d_core.clouds.ply import write_ply
from lass3d_core.files.atomic import atomic_folder, remove_parts, write_text
from lass3d_core.manifest.schema import SimulateSpec
from lass3d_core.settings import to_json
from preprocess.simulation.parallel import do_all
from preprocess.simulation.room.sensors import (
    COLOUR_HW,
    COLOUR_K,
    DEPTH_HW,
    DEPTH_K,
    Surface,
    depth_image,
    fused,
    picture,
    seen_from,
)
from preprocess.simulation.room.walk import walk
from preprocess.simulation.room.world import Room, build_room
from preprocess.simulation.tree import SimulationReport, settle

GENERATOR = 1
"""Raise it with every change that alters the files."""

_LOST = 0.3  # share of scenes with a frame whose pose is not known
_UNEXPORTED = 0.5  # frames of the scan that are in no export, per exported one
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class RoomScene:
    """One scene to be simulated. entropy: seeds all of it."""

    name: str
    entropy: tuple[int, int, int]
    frames: int

    def random(self, purpose: int) -> np.random.Generator:
        """The randomness of one of the scene's aspects."""
        return np.random.default_rng((*self.entropy, purpose))


def write_rooms(root: Path, spec: SimulateSpec, workers: int = 0) -> SimulationReport:
    """Simulate what is missing below `root`/scans, and write `root`/scannetv2_SPLIT.txt.

    workers: processes of one thread each, 0 = one per core. A tree made from another `spec` is replaced as a
    whole. Raises DataError where a scene is there that the simulator did not write, StorageError.
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
    """The scenes of each split, numbered through."""
    counts = {"train": spec.train, "val": spec.val, "test": spec.test}
    found: dict[str, list[RoomScene]] = {}
    first = 0
    for number, (split, count) in enumerate(counts.items()):
        found[split] = [
            RoomScene(f"scene{first + i:04d}_00", (spec.seed, number, i), spec.frames_per_room)
            for i in range(count)
        ]
        first += count
    return found


def _made_from(spec: SimulateSpec) -> dict[str, Any]:
    """What the files follow from."""
    own = ("train", "val", "test", "seed", "frames_per_room")
    return {"generator": GENERATOR} | {key: value for key, value in to_json(spec).items() if key in own}


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
    """color/N.jpg, depth/N.png, pose/N.txt. In some scenes the tracking lost a frame: its pose is -inf."""
    rng = scene.random(2)
    lost = rng.integers(scene.frames) if scene.frames > 1 and rng.random() < _LOST else None
    for name in ("color", "depth", "pose"):
        (folder / name).mkdir()
    for frame, (pose, surface) in enumerate(zip(poses, surfaces, strict=True)):
        image, depth = picture(surface, rng), depth_image(room, pose, rng)
        Image.fromarray(image).save(folder / "color" / f"{frame}.jpg", quality=_JPEG_QUALITY, subsampling=0)
        Image.fromarray(depth).save(folder / "depth" / f"{frame}.png")
        written = np.full((4, 4), -np.inf) if frame == lost else pose
        (folder / "pose" / f"{frame}.txt").write_text(_matrix(written), encoding="ascii")


def _write_cameras(folder: Path, scene: RoomScene, room: Room) -> None:
    """intrinsic/*.txt as SensReader writes them, and the scene's own .txt."""
    (folder / "intrinsic").mkdir()
    for name, K in (("color", COLOUR_K), ("depth", DEPTH_K)):
        intrinsic = np.eye(4)
        intrinsic[:3, :3] = K
        (folder / "intrinsic" / f"intrinsic_{name}.txt").write_text(_matrix(intrinsic), encoding="ascii")
        (folder / "intrinsic" / f"extrinsic_{name}.txt").write_text(_matrix(np.eye(4)), encoding="ascii")
    alignment = " ".join(f"{value:.6f}" for value in np.linalg.inv(room.world_from_room).ravel())
    facts = {
        "axisAlignment": alignment,
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
    """The vertices and their labels: what the exported frames saw, and some more of the same scan."""
    more = walk(scene.random(3), room.plan, room.world_from_room, round(_UNEXPORTED * scene.frames))
    surfaces = [*surfaces, *(seen_from(room, pose, DEPTH_K, DEPTH_HW) for pose in more)]
    vertices = fused(surfaces, room, scene.random(4))
    mesh = folder / f"{scene.name}_vh_clean_2.ply"
    write_ply(mesh, vertices.points, vertices.colours)
    write_ply(mesh.with_suffix(".labels.ply"), vertices.points, vertices.colours, {"label": vertices.labels})


def _matrix(values: np.ndarray) -> str:
    """Four lines of four numbers."""
    return "".join(" ".join(f"{value:.6f}" for value in row) + "\n" for row in values)
