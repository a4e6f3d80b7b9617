"""How fast points meet pixels, against the projections that the public tool boxes run.

    python benchmarks/pairing.py [--points 120000] [--rounds 21]

One scan and six cameras of 1600 x 900, as on nuScenes. What is timed, per scan:

pairing:   all that stage `pairs` does per point and camera, `visible_pixels` and the lookup of the owner:
           project, keep what is in front and inside the image, drop what the z-buffer of the scan hides
           (the manifest's defaults, within the masks), read the entity that owns the pixel. To cut the cloud
           into runs, once per scan, is counted. Beside it stand `painting`, which makes the masks of a
           view into an image of owners just before, and `all of pair`, which ranks the views of each
           point too;
mmdet3d:   `points_cam2img` of its numpy years, box_np_ops: append a column of ones, multiply by the 4 x 4
           lidar2img, divide by the depth. Nothing else: no bounds, no occlusion, no lookup. Since v1.0 the
           same lines run in torch, on float32: `mmdet3d torch`;
devkit:    `map_pointcloud_to_image` of nuscenes-devkit from the loaded cloud on: copy it, rotate and
           translate lidar -> ego -> global -> ego -> camera by matrices made of quaternions, `view_points`,
           mask by depth and border. No occlusion, no lookup;
memory:    copy the coordinates once per camera.

The twins are written anew after those formulas, and their pixels are compared with ours first. Single
thread, processor time, all sides in turn in every view, the median of the rounds; only the ratios mean
anything. The simulated street needs no files; a real sweep (nuScenes, repeated with a jitter of 2 cm up to
the same number of points) is added where the folder LASS3D_SAMPLES, by default shared/samples beside the
checkout, holds it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from lass3d_core.geometry import Visibility, rigid, visible_pixels
from lass3d_core.manifest import PairsSpec
from lass3d_core.masks import encode
from lass3d_core.point_runs import PointRuns
from lass3d_core.records import NONE, Camera, Entity, FilePart, Scan, View
from preprocess.pairs import Entities, painted, pair, visibility_of
from preprocess.simulation.pinhole import cast_from, pixel_directions
from preprocess.simulation.shapes import NOTHING
from preprocess.street.materials import MATERIAL_ORDER
from preprocess.street.sensors import LidarModel, sweep
from preprocess.street.world import build_scene, drive, lay_out

SAMPLES = Path(os.environ.get("LASS3D_SAMPLES", Path(__file__).parents[2] / "shared" / "samples"))
SIZE_HW = (900, 1600)
YAW_AND_FOCAL = ((0, 1266), (-55, 1260), (55, 1272), (180, 809), (110, 1257), (-110, 1260))
LIDAR = LidarModel(beams=64, azimuths=2300, lowest_deg=-25, highest_deg=6, range_m=80)
MIN_DEPTH_M = 1.0
RULE = visibility_of(PairsSpec())


@dataclass(frozen=True)
class Frame:
    """One scan with its views, their entities, and the slot of each phrase."""

    scan: Scan
    found: Entities
    slot_of: dict[str, int]


def main() -> None:
    """Print one table for each frame."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=120_000, help="per scan (default: 120000)")
    parser.add_argument("--rounds", type=int, default=21, help="measurements of each side (default: 21)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    frames = {"simulated street": simulated(arguments.points)}
    if (SAMPLES / "nuscenes").is_dir():
        frames["nuScenes sweep, repeated"] = real(SAMPLES / "nuscenes", arguments.points)
    for name, frame in frames.items():
        print(f"{name}: {len(frame.scan.points)} points, {len(frame.scan.views)} cameras")
        check_twins(frame)
        print(table(measure(frame, arguments.rounds), frame), flush=True)


def table(seconds: Mapping[str, float], frame: Frame) -> str:
    """One line per side: its time, its speed and how many times longer than pairing it takes."""
    work = len(frame.scan.points) * len(frame.scan.views)
    lines = [f"  {'':<14} {'ms/scan':>8} {'M point-cameras/s':>18} {'time / pairing':>15}"]
    for name, taken in seconds.items():
        lines.append(
            f"  {name:<14} {taken * 1e3:>8.2f} {work / taken / 1e6:>18.1f} "
            f"{taken / seconds['pairing']:>15.2f}"
        )
    return "\n".join(lines)


def measure(frame: Frame, rounds: int) -> dict[str, float]:
    """Side -> processor seconds per scan, the median of the rounds."""
    taken = [
        measure_once(frame, [Chain.of(view.camera) for view in frame.scan.views])
        for _ in tqdm(range(rounds + 1), unit="round")
    ][1:]  # the first warms up
    return {name: median(of_round[name] for of_round in taken) for name in taken[0]}


def measure_once(frame: Frame, chains: list[Chain]) -> dict[str, float]:
    """Side -> processor seconds, all views after one another, in each of them all sides."""
    points, rows = frame.scan.points, as_loaded(frame.scan.points)
    copy, tensor = np.empty_like(points), torch.from_numpy(points)
    taken: dict[str, float] = defaultdict(float)

    def timed(name: str, work: Callable[..., Any], *given: object) -> Any:
        start = time.process_time()
        made = work(*given)
        taken[name] += time.process_time() - start
        return made

    runs = timed("pairing", PointRuns, points)
    taken["no occlusion"] = taken["pairing"]
    for view, chain in zip(frame.scan.views, chains):
        camera, matrix = view.camera, lidar2img(view.camera)
        given = frame.found[view.image_id], frame.slot_of, camera.size_hw, PairsSpec().overlap
        owner = timed("painting", painted, *given)
        timed("pairing", paired, camera, runs, owner, RULE)
        timed("no occlusion", paired, camera, runs, owner, Visibility("none"))
        timed("mmdet3d", points_cam2img, points, matrix)
        timed("mmdet3d torch", points_cam2img_torch, tensor, torch.from_numpy(matrix.astype(np.float32)))
        timed("devkit", chain.pixels, rows)
        timed("memory", np.copyto, copy, points)
    timed("all of pair", pair, frame.scan, frame.found, PairsSpec())
    return dict(taken)


def paired(camera: Camera, runs: PointRuns, owner: np.ndarray, rule: Visibility) -> np.ndarray:
    """The phrase slots (n,) of the points that `camera` sees. See the head of this file."""
    seen = visible_pixels(camera, runs, rule, regions=owner)
    return owner[seen.v, seen.u]


def points_cam2img(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """mmdet3d's numpy projection: uv (N,2) float64 of points (N,3) by lidar2img (4,4)."""
    homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=-1)
    projected = homogeneous @ matrix.T
    return projected[..., :2] / projected[..., 2:3]


def points_cam2img_torch(points: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """The same lines in torch: uv (N,2) float32."""
    homogeneous = torch.cat([points, points.new_ones(len(points), 1)], dim=-1)
    projected = homogeneous @ matrix.T
    return projected[..., :2] / projected[..., 2:3]


def as_loaded(points: np.ndarray) -> np.ndarray:
    """(4,N) float32 as the devkit's LidarPointCloud holds it: the transpose of rows of five numbers."""
    return np.column_stack([points, np.zeros((len(points), 2), np.float32)])[:, :4].T


@dataclass(frozen=True)
class Chain:
    """The devkit's four steps: each a quaternion (w, x, y, z), a translation, and whether it is undone."""

    steps: tuple[tuple[np.ndarray, np.ndarray, bool], ...]
    K: np.ndarray
    size_hw: tuple[int, int]

    @classmethod
    def of(cls, camera: Camera) -> Chain:
        """A chain that ends in `camera`, by way of made-up poses of lidar and car."""
        rng = np.random.default_rng(0)
        ego, then, now = (_quaternion(rng) for _ in range(3))
        car_from_lidar = rigid(_rotation(ego), rng.normal(size=3))
        world_from_then = rigid(_rotation(then), rng.normal(size=3) * 10)
        world_from_now = rigid(_rotation(now), world_from_then[:3, 3] + 0.5)
        lidar_from_now = np.linalg.inv(world_from_then @ car_from_lidar) @ world_from_now
        now_from_camera = np.linalg.inv(camera.cam_from_points @ lidar_from_now)
        return cls(
            (
                (ego, car_from_lidar[:3, 3], False),
                (then, world_from_then[:3, 3], False),
                (now, world_from_now[:3, 3], True),
                (_quaternion_of(now_from_camera[:3, :3]), now_from_camera[:3, 3], True),
            ),
            camera.K,
            camera.size_hw,
        )

    def pixels(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uv (2,N) float64 and the mask (N,) of what lies inside, of columns (4,N) float32."""
        cloud = columns.copy(order="K")  # in the layout of the file
        for quaternion, translation, undone in self.steps:
            if undone:
                _translate(cloud, -translation)
                cloud[:3] = np.dot(_rotation(quaternion).T, cloud[:3])
            else:
                cloud[:3] = np.dot(_rotation(quaternion), cloud[:3])
                _translate(cloud, translation)
        depth = cloud[2]
        uv = view_points(cloud[:3], self.K)
        height, width = self.size_hw
        inside = np.ones(len(depth), dtype=bool)
        inside = np.logical_and(inside, depth > MIN_DEPTH_M)
        inside = np.logical_and(inside, uv[0] > 1)
        inside = np.logical_and(inside, uv[0] < width - 1)
        inside = np.logical_and(inside, uv[1] > 1)
        inside = np.logical_and(inside, uv[1] < height - 1)
        return uv[:, inside], inside


def view_points(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    """The devkit's projection: (3,N) float64, the last row ones, of points (3,N) in the camera frame."""
    view = np.eye(4)
    view[:3, :3] = K
    count = points.shape[1]
    projected = np.dot(view, np.concatenate((points, np.ones((1, count)))))[:3]
    return projected / projected[2:3].repeat(3, 0).reshape(3, count)


def check_twins(frame: Frame) -> None:
    """All sides name the same pixels, save where rounding moves a point across a border."""
    points = frame.scan.points
    columns = as_loaded(points)
    for view in frame.scan.views:
        seen = visible_pixels(view.camera, points, Visibility("none", min_depth_m=MIN_DEPTH_M))
        direct = points_cam2img(points, lidar2img(view.camera))[seen.point]
        chained, inside = Chain.of(view.camera).pixels(columns)
        ours = np.stack([seen.u, seen.v], axis=1)
        where = np.full(len(points), NONE)
        where[seen.point] = np.arange(len(seen.point))
        both = inside & (where != NONE)
        assert abs(inside.sum() - both.sum()) <= 5, "the devkit's chain sees other points"
        far = np.abs(chained[:2, both[inside]].T - ours[where[both]] - 0.5).max()
        assert np.abs(direct - ours - 0.5).max() < 0.51 and far < 0.6, "a twin sees other pixels"


def simulated(count: int) -> Frame:
    """A street of the demo's world, seen by a LiDAR of 64 beams and by six cameras of nuScenes' size.

    The entities are the true classes, cast for every fourth pixel of a row and of a column.
    """
    rng = np.random.default_rng(0)
    layout = lay_out(rng, frames=1)
    scene, pose = build_scene(rng, layout), drive(rng, layout)[0]
    points = repeated(sweep(scene, pose, rng, LIDAR).points, count, rng)
    views, found = [], {}
    for slot, (yaw_deg, focal) in enumerate(YAW_AND_FOCAL):
        camera = camera_at(yaw_deg, focal, SIZE_HW)
        small = camera_at(yaw_deg, focal / 4, (SIZE_HW[0] // 4, SIZE_HW[1] // 4))
        world_from_camera = pose @ np.linalg.inv(camera.cam_from_points)
        _, solid = cast_from(scene, world_from_camera, pixel_directions(small), LIDAR.range_m)
        classes = np.where(solid == NOTHING, NONE, scene.material[solid]).reshape(small.size_hw)
        views.append(View(str(slot), FilePart(Path(str(slot))), camera))
        found[str(slot)] = entities_of(classes.repeat(4, axis=0).repeat(4, axis=1))
    return frame_of(points, views, found)


def real(folder: Path, count: int) -> Frame:
    """nuScenes' points and cameras; each image is cut into blobs of the size of things, for want of masks."""
    rng = np.random.default_rng(0)
    points = np.fromfile(folder / "LIDAR_TOP.bin", np.float32).reshape(-1, 5)[:, :3]
    entries = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))["cameras"]
    views, found = [], {}
    for name, entry in entries.items():
        camera = Camera(np.array(entry["K"]), np.array(entry["cam_from_lidar"]), SIZE_HW)
        views.append(View(name, FilePart(folder / entry["image"]), camera))
        found[name] = blobs(rng)
    return frame_of(repeated(points, count, rng), views, found)


def frame_of(points: np.ndarray, views: list[View], found: Entities) -> Frame:
    """A frame of one scan; phrases take their slots in the order of the alphabet, as in `pair`."""
    scan = Scan("000000", points, np.zeros((len(points), 1), np.float32), None, tuple(views))
    phrases = sorted({one.phrase for of_image in found.values() for one in of_image})
    return Frame(scan, found, {phrase: slot for slot, phrase in enumerate(phrases)})


def repeated(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` points: those given, in their order, repeated with a jitter of 2 cm or thinned out evenly."""
    if count <= len(points):
        return np.ascontiguousarray(points[np.linspace(0, len(points) - 1, count).astype(int)])
    times = -(-count // len(points))
    copies = np.repeat(points, times, axis=0)
    copies = copies + np.tile((np.arange(times) > 0), len(points))[:, None] * rng.normal(
        0, 0.02, copies.shape
    )
    return repeated(copies.astype(np.float32), count, rng)


def entities_of(classes: np.ndarray) -> list[Entity]:
    """One entity per class (H,W) that is not NONE."""
    height, width = classes.shape
    return [
        Entity(MATERIAL_ORDER[index].name, 1.0, (0.0, 0.0, width, height), encode(classes == index))
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


def lidar2img(camera: Camera) -> np.ndarray:
    """(4,4) float64."""
    K = np.eye(4)
    K[:3, :3] = camera.K
    return K @ camera.cam_from_points


def _quaternion(rng: np.random.Generator) -> np.ndarray:
    q = rng.normal(size=4)
    return q / np.linalg.norm(q)


def _rotation(q: np.ndarray) -> np.ndarray:
    """(3,3) of a unit quaternion (w, x, y, z)."""
    w, x, y, z = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _quaternion_of(rotation: np.ndarray) -> np.ndarray:
    """A unit quaternion (w, x, y, z) of a rotation: the eigenvector of Bar-Itzhack's matrix."""
    (a, b, c), (d, e, f), (g, h, i) = rotation
    K = np.array(
        [
            [a + e + i, h - f, c - g, d - b],
            [h - f, a - e - i, b + d, c + g],
            [c - g, b + d, e - a - i, f + h],
            [d - b, c + g, f + h, i - a - e],
        ]
    )
    return np.linalg.eigh(K)[1][:, -1]


def _translate(cloud: np.ndarray, translation: np.ndarray) -> None:
    for axis in range(3):
        cloud[axis] = cloud[axis] + translation[axis]


if __name__ == "__main__":
    main()
