"""How fast points meet pixels, against the projections that the public tool boxes run.

    python benchmarks/pairing.py [--points 120000] [--rounds 21]

One scan and six cameras of 1600 x 900, as on nuScenes. These are timed, per scan:

pairing:   what stage `pairs` does per point and camera, `visible_pixels` and the lookup of the owner:
           project, keep what is in front and inside the image, drop what other points hide (the manifest's
           z-buffer, within the masks), read the entity that owns the pixel. Includes cutting the cloud into
           blocks, once per scan. `painting` comes before it: it turns the masks of a view into an image of
           owners. `all of pair` is both, and ranks the views of each point;
mmdet3d:   `points_cam2img` of its numpy years, box_np_ops: append a column of ones, multiply by the 4 x 4
           lidar2img, divide by the depth. No bounds, no occlusion, no lookup. Since v1.0 the same lines run
           in torch, on float32: `mmdet3d torch`;
devkit:    `map_pointcloud_to_image` of nuscenes-devkit without the reading: copy the cloud, rotate and
           translate it lidar -> ego -> global -> ego -> camera by matrices made of quaternions,
           `view_points`, mask by depth and border. No occlusion, no lookup;
memory:    copy the coordinates once per camera.

The twins are rewritten from those formulas, and their pixels are compared with ours first. Times are
processor time of one thread, the median of the rounds. Only the ratios mean anything. In every round the
sides take turns, and each does all views of the scan. If they took turns in every view, each side would find
the caches full of the others' arrays.

The simulated street needs no files. A real sweep (nuScenes, repeated with a jitter of 2 cm up to the same
number of points) is added if it is in the folder LASS3D_SAMPLES, by default shared/samples beside the
checkout.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # a plain checkout

from benchmarks.six_cameras.frames import Frame, real, simulated
from benchmarks.six_cameras.twins import (
    MIN_DEPTH_M,
    Chain,
    as_loaded,
    lidar2img,
    points_cam2img,
    points_cam2img_torch,
)
from lass3d_core.geometry.visible_pixels import PreparedPoints, Visibility, at_pixels, visible_pixels
from lass3d_core.manifest.schema import PairsSpec
from lass3d_core.records import NONE
from preprocess.stages.pairing import painted, pair, visibility_of

SAMPLES = Path(os.environ.get("LASS3D_SAMPLES", Path(__file__).parents[2] / "shared" / "samples"))
RULE = visibility_of(PairsSpec())


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
    """One line per side: its time, its speed, and its time relative to pairing."""
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
    """Side -> processor seconds for all views."""
    points, rows = frame.scan.points, as_loaded(frame.scan.points)
    copy, tensor = np.empty_like(points), torch.from_numpy(points)
    cameras = [view.camera for view in frame.scan.views]
    matrices = [lidar2img(camera) for camera in cameras]
    tensors = [torch.from_numpy(matrix.astype(np.float32)) for matrix in matrices]
    painting, pairing = painted_and_paired(frame, RULE)
    taken = {
        "pairing": pairing,
        "no occlusion": painted_and_paired(frame, Visibility("none"))[1],
        "painting": painting,
    }
    sides: dict[str, Callable[[], object]] = {
        "mmdet3d": lambda: each(points_cam2img, points, matrices),
        "mmdet3d torch": lambda: each(points_cam2img_torch, tensor, tensors),
        "devkit": lambda: each(lambda rows, chain: chain.pixels(rows), rows, chains),
        "memory": lambda: each(lambda points, _: np.copyto(copy, points), points, cameras),
        "all of pair": lambda: pair(frame.scan, frame.found, PairsSpec()),
    }
    return taken | {name: seconds(work) for name, work in sides.items()}


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds that `work` takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def painted_and_paired(frame: Frame, rule: Visibility) -> tuple[float, float]:
    """Processor seconds of `painting` and of `pairing`; see the head of this file."""
    points = PreparedPoints(frame.scan.points)
    painting = pairing = 0.0
    for view in frame.scan.views:
        start = time.process_time()
        found, size_hw = frame.found[view.image_id], view.camera.size_hw
        owner = painted(found, frame.slot_of, size_hw, PairsSpec().overlap)
        between = time.process_time()
        seen = visible_pixels(view.camera, points, rule, regions=owner)
        at_pixels(owner, seen.v, seen.u)
        painting, pairing = painting + between - start, pairing + time.process_time() - between
    return painting, pairing


def each(work: Callable[[Any, Any], object], points: object, views: Sequence[object]) -> None:
    """Call `work` with the points and each view in turn."""
    for view in views:
        work(points, view)


def check_twins(frame: Frame) -> None:
    """Assert that all sides give the same pixels, unless rounding moves a point across a border."""
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


if __name__ == "__main__":
    main()
