"""Speed and memory of prediction: `Model.predict` beside the network's own forward pass.

    python benchmarks/predict.py [--rounds 3] [--millions 5 50]

The network is MinkUNet18-w32 of the published preset with voxels of 5 cm, with random weights. It labels a
real scan of SemanticKITTI from the folder LASS3D_SAMPLES, by default shared/samples beside the checkout.
The forward pass gets the voxels and the kernel maps ready. "all but it" is `predict` with a network that only
returns logits that are ready. Everything runs in one process of one thread. A time is the least processor
time of the rounds, because other work on the machine only adds to it.
The large clouds are simulated streets: half of their points lie on a plane, half on boxes, in random order.
The demo's network labels them with voxels of 20 cm, in a process for each, so that every peak is its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from lass3d_core.model.card import ModelCard, Origin, PointFeature
from lass3d_core.model.network import make_network
from lass3d_core.model.predict import MOST_POINTS, Model
from lass3d_core.nets.unet import UNetConfig
from lass3d_core.sparse.maps import KernelPyramid, build_pyramid
from lass3d_core.sparse.voxel_inputs import voxel_inputs
from lass3d_core.sparse.voxels import collate, voxelise
from train.presets.demo import demo
from train.presets.published import semantickitti

SAMPLES = Path(os.environ.get("LASS3D_SAMPLES", Path(__file__).parents[2] / "shared" / "samples"))
SCAN = "semantickitti/sequences/08/velodyne/000000.bin"
CLASSES = 19
GOAL = 1.15
DENSITY = 200  # points per square metre of street


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="predictions of the scan (default: 3)")
    parser.add_argument("--millions", type=float, nargs="*", default=[5, 50], help="points (default: 5 50)")
    parser.add_argument("--cloud", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if arguments.cloud is not None:
        print(measure_cloud(round(arguments.cloud * 1e6)))
        return
    if (SAMPLES / SCAN).exists():
        print(measure_scan(arguments.rounds))
    else:
        print(f"no scan at {SAMPLES / SCAN}, so no speed was measured; set LASS3D_SAMPLES")
    lines = [in_fresh_process(millions) for millions in tqdm(arguments.millions, "clouds", leave=False)]
    if lines:
        print(
            f"\n{'points':>9} {'seconds':>8} {'processor':>9} {'cloud MB':>8} {'before MB':>9} {'peak MB':>8}"
        )
        print("\n".join(lines))
        print(
            f"a cloud of more than {MOST_POINTS:,} points is cut into tiles; cloud: its points and features;"
        )
        print(
            "before: the process with the cloud, before prediction; peak: the process, its answers included"
        )


def measure_scan(rounds: int) -> str:
    """The table of one real scan."""
    scan = np.fromfile(SAMPLES / SCAN, np.float32).reshape(-1, 4)
    points, features = np.ascontiguousarray(scan[:, :3]), scan[:, 3:].copy()
    preset = semantickitti("semantickitti", "supervised", 20.0, 0)
    model = model_of(preset.net, preset.data.voxel_m)
    segmenter = model.network["segmenter"]
    voxels = voxelise(torch.from_numpy(points), model.card.voxel_m)
    given = model.network_input(points, features)

    @torch.inference_mode()
    def forward() -> Tensor:
        logits: Tensor = segmenter(given.features, given.pyramid)
        return logits

    def voxelisation() -> None:
        voxel_inputs(points, features, model.card.voxel_m, from_corner=False)

    without = Model(model.card, nn.ModuleDict({"segmenter": Ready(forward())}))
    works: dict[str, Callable[[], Any]] = {
        "predict": lambda: model.predict(points, features),
        "forward": forward,
        "all but it": lambda: without.predict(points, features),
        "voxelisation": voxelisation,
        "kernel maps": lambda: build_pyramid(collate([voxels.coords]), preset.net.levels),
    }
    rounds_of = tqdm(range(rounds), "scan", unit="round", leave=False)
    taken = [{name: seconds_of(work) for name, work in works.items()} for _ in rounds_of]
    least = {name: min(one[name] for one in taken) for name in works}
    return scan_table(least, len(points), len(voxels.coords))


class Ready(nn.Module):
    """A network in the place of the segmenter that returns `logits` (M,C)."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, features: Tensor, pyramid: KernelPyramid) -> Tensor:
        """The logits, whatever is given."""
        return self.logits


def scan_table(least: dict[str, float], points: int, voxels: int) -> str:
    """The lines of one scan. least: seconds by work."""
    forward, around, maps = least["forward"], least["all but it"], least["kernel maps"]
    rest = around - least["voxelisation"] - maps
    shares = {**least, "the rest of it": rest}
    ratio = 1 + around / forward
    met = "holds" if ratio <= GOAL else "does not hold"
    return "\n".join(
        [
            f"one scan: {points} points, {voxels} voxels",
            f"{'':<15} {'ms':>8} {'/ forward':>9}",
            *(f"{name:<15} {1e3 * taken:>8.1f} {taken / forward:>9.4f}" for name, taken in shares.items()),
            f"(forward + all but it) / forward: {ratio:.3f} (goal: at most {GOAL}: {met})",
            f"the same / forward with its kernel maps: {(forward + around) / (forward + maps):.3f}",
            f"scans per second: {1 / least['predict']:.2f}",
        ]
    )


def in_fresh_process(millions: float) -> str:
    """The line of one large cloud."""
    command = [sys.executable, __file__, "--cloud", str(millions)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    return run.stdout.rstrip() if run.returncode == 0 else f"{millions:g} million points failed"


def measure_cloud(count: int) -> str:
    """One line: points, seconds, processor seconds, and memory."""
    net = replace(demo("street", "supervised", 20.0, 0).net, view="voxel")
    model = model_of(net, voxel_m=0.2)
    points, features = street(count)
    before = peak_mb()
    wall, processor = time.perf_counter(), time.process_time()
    model.predict(points, features)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    cloud = (points.nbytes + features.nbytes) / 2**20
    return f"{count:>9} {wall:>8.1f} {processor:>9.1f} {cloud:>8.0f} {before:>9.0f} {peak_mb():>8.0f}"


def street(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (N,3) float32 metres of a plane with boxes on it, and a feature (N,1) float32 in [0, 1]."""
    random = np.random.default_rng(0)
    edge = (count / DENSITY) ** 0.5
    points = np.empty((count, 3), np.float32)
    ground = count // 2
    points[:ground] = random.random((ground, 3), np.float32) * np.array([edge, edge, 0], np.float32)
    boxes = max(1, int(edge**2 / 400))
    corners = random.random((boxes, 3), np.float32) * np.array([edge, edge, 0], np.float32)
    sizes = random.uniform(2, 12, (boxes, 3)).astype(np.float32)
    for start in range(ground, count, 1_000_000):
        number = min(1_000_000, count - start)
        within = random.random((number, 3), np.float32)
        # One of x and y is 0 or 1: a wall.
        wall = random.integers(2, size=number)
        within[np.arange(number), wall] = random.integers(2, size=number)
        box = random.integers(boxes, size=number)
        points[start : start + number] = corners[box] + within * sizes[box]
    return points, random.random((count, 1), np.float32)


def model_of(net: UNetConfig, voxel_m: float) -> Model:
    """A model of that network with random weights: x, y, z and remission to the classes of SemanticKITTI."""
    origin = Origin("supervised", "street", "none", 20.0, 0, "nested", 1, 1, 0, "", "")
    card = ModelCard(
        network=net,
        voxel_m=voxel_m,
        from_corner=False,
        features=(PointFeature("remission", 0.0, 1.0),),
        class_names=tuple(f"class {label}" for label in range(CLASSES)),
        colours=((0, 0, 0),) * CLASSES,
        raw_ids=tuple(range(CLASSES)),
        origin=origin,
        reach_m=1000.0,
    )
    return Model(card, make_network(card))


def seconds_of(work: Callable[[], Any]) -> float:
    """Processor time of `work`."""
    start = time.process_time()
    work()
    return time.process_time() - start


def peak_mb() -> float:
    """The largest memory of this process so far, MB. Linux alone tells it."""
    # Not getrusage: a process that another one starts inherits the other's peak there.
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main()
