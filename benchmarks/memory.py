"""Peak memory of a training step of the published presets, by the model in train/runs/memory.py.

    python benchmarks/memory.py [--points 4000]

No GPU is needed and nothing is trained. The micro-batches are made of scans like those of the benchmarks:
real frames of SemanticKITTI and nuScenes where the folder LASS3D_SAMPLES, by default shared/samples beside
the checkout, holds them, else simulated sweeps. The crop of a room is simulated. A fifth of the voxels has an
image and a phrase, a caption has 20 text rows of 512 numbers. `make train` prints the same for its own data.

The last two columns compare the model with the CPU, in bfloat16. For them each scan is cut to a sector of
--points points, because a whole micro-batch does not fit into a small machine. `kept`: what autograd keeps of
the losses. `peak`: the most that a step has allocated beside the parameters and the optimiser's moments. The
model gathers all pairs of a convolution at once, as on a GPU; on a CPU they are gathered in pieces.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # a plain checkout

from benchmarks.convolution import simulated_sweep
from lass3d_core import nets
from lass3d_core.compute.precision import autocast
from lass3d_core.paper.safm import TextBatch
from lass3d_core.sparse.maps import build_pyramid
from lass3d_core.sparse.voxels import collate, voxelise
from train import methods
from train.config import RunConfig, with_settings
from train.loop import take_step
from train.methods.contract import BatchCounts, Ingredients, Method, SemiBatch
from train.methods.parts.votes import PhraseVotes
from train.optimiser import make_optimiser
from train.presets import Preset
from train.presets.published import nuscenes, scannet, semantickitti
from train.runs.layers import BatchSize
from train.runs.memory import GIB, Networks, expected_memory

SAMPLES = Path(os.environ.get("LASS3D_SAMPLES", Path(__file__).parents[2] / "shared" / "samples"))
METHODS = ("supervised", "mean_teacher", "lass3d", "lass3d_plus")
TEXT_DIM, ROWS, PHRASES = 512, 20, 30
CPU = torch.device("cpu")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=4_000, help="of a sector that is measured (4000)")
    points = parser.parse_args().points
    torch.set_num_threads(1)
    print("| preset | method | scans | voxels each | GiB, float32 | GiB, bfloat16 | kept | peak |")
    print("|---|---|---|---|---|---|---|---|")
    for preset, classes, features, scans in (
        (semantickitti, 19, 4, lidar_scans("semantickitti/sequences/*/velodyne/*.bin", 4, 64, 2000)),
        (nuscenes, 16, 4, lidar_scans("nuscenes/LIDAR_TOP.bin", 5, 32, 1084)),
        (scannet, 20, 6, [room_crop(number) for number in range(8)]),
    ):
        for method in METHODS:
            print(row(preset, method, classes, features, scans, points), flush=True)


def row(
    preset: Preset, method: str, classes: int, features: int, scans: list[Tensor], sector_points: int
) -> str:
    """One line of the table."""
    configs = {
        precision: with_settings(preset("any", method, 1.0, 0), [f"precision={precision}"])
        for precision in ("float32", "bfloat16")
    }
    half = configs["bfloat16"]
    networks = Networks.of(half, features, classes, TEXT_DIM)
    size = BatchSize.of(a_batch(half, scans, classes, features))
    totals = [
        expected_memory(config, size, networks, classes, on_gpu=True).total / GIB
        for config in configs.values()
    ]
    cut = a_batch(half, [sector(scan, sector_points) for scan in scans], classes, features)
    small = expected_memory(half, BatchSize.of(cut), networks, classes, on_gpu=True)
    autograd = small.activations / kept(half, cut, classes)
    gradients = 4 * networks.trained
    step = (gradients + small.activations + small.working) / (gradients + added(half, cut, classes))
    data = half.data
    drawn = f"{data.labelled_scans} + {data.unlabelled_scans}"
    each = size.voxels[0] / size.scans
    return (
        f"| `{half.preset}` | `{method}` | {drawn} | {each:.0f} | "
        f"{totals[0]:.1f} | {totals[1]:.1f} | {autograd:.2f} | {step:.2f} |"
    )


def lidar_scans(pattern: str, columns: int, beams: int, turns: int) -> list[Tensor]:
    """Points (N,3) of four real frames, of four drives if there are so many, or of simulated sweeps."""
    files = sorted(SAMPLES.glob(pattern))
    files = files[:: max(1, len(files) // 4)][:4]
    if not files:
        return [simulated_sweep(np.random.default_rng(number), beams, turns) for number in range(4)]
    frames = [np.fromfile(file, np.float32).reshape(-1, columns)[:, :3] for file in files]
    return [torch.from_numpy(frame.copy()) for frame in frames]


def room_crop(seed: int, edge: float = 3.5, step: float = 0.02, boxes: int = 12) -> Tensor:
    """Points (N,3) on a floor, a wall and boxes that stand about, as dense as ScanNet's; 40 % unseen."""
    rng = np.random.default_rng(seed)
    faces = [((0, 0, 0), (edge, 0, 0), (0, edge, 0)), ((0, 0, 0), (edge, 0, 0), (0, 0, 2.4))]
    for _ in range(boxes):
        x, y = rng.uniform(0, edge - 0.8, 2)
        w, d, h = rng.uniform(0.1, 0.8, 3)
        faces += [
            ((x, y, h), (w, 0, 0), (0, d, 0)),
            ((x, y, 0), (w, 0, 0), (0, 0, h)),
            ((x, y, 0), (0, d, 0), (0, 0, h)),
        ]
    points = []
    for corner, first, second in faces:
        across, along = (np.arange(0, 1, step / np.linalg.norm(direction)) for direction in (first, second))
        a, b = (grid.reshape(-1, 1) for grid in np.meshgrid(across, along))
        points.append(np.array(corner) + a * np.array(first) + b * np.array(second))
    cloud = np.concatenate(points)
    cloud = cloud[rng.random(len(cloud)) < 0.6] + rng.normal(0, 0.005, (1, 3))
    return torch.from_numpy(cloud.astype(np.float32))


def sector(points: Tensor, count: int) -> Tensor:
    """The `count` points that come first about the origin."""
    return points[torch.atan2(points[:, 1], points[:, 0]).argsort()[:count]]


def a_batch(config: RunConfig, scans: list[Tensor], classes: int, features: int) -> SemiBatch:
    """A micro-batch of `config` made of `scans`, in turn."""
    torch.manual_seed(0)
    data = config.data
    drawn = data.labelled_scans + data.unlabelled_scans
    voxels = [voxelise(scans[number % len(scans)], data.voxel_m).coords for number in range(drawn)]
    coords = collate(voxels)
    scan, count = coords[:, 0].long(), len(coords)
    has_text = torch.rand(count) < 0.2
    phrase = torch.randint(PHRASES, (count,)).masked_fill(~has_text, -1)
    image = scan.masked_fill(~has_text, -1)
    return SemiBatch(
        features=torch.cat([coords[:, 1:] * data.voxel_m, torch.rand(count, features - 3)], dim=1),
        pyramid=build_pyramid(coords, config.net.levels),
        labels=torch.randint(classes, (count,)).masked_fill(scan >= data.labelled_scans, 255),
        is_labelled=scan < data.labelled_scans,
        scan=scan,
        image=image,
        entity=phrase,
        votes=PhraseVotes.certain(phrase),
        texts=TextBatch(
            image_rows=torch.randn(drawn * ROWS, TEXT_DIM),
            image_offsets=tuple(range(0, (drawn + 1) * ROWS, ROWS)),
            image_pooled=torch.randn(drawn, TEXT_DIM),
            entity_rows=torch.randn(PHRASES, TEXT_DIM),
        ),
        counts=BatchCounts.of(scan, scan < data.labelled_scans, image, phrase, drawn),
    )


def method_of(config: RunConfig, batch: SemiBatch, classes: int) -> Method:
    """The method with fresh weights. LASS3D+ without its prior, which needs phrases and keeps nothing."""
    settings = ["method.strength=0"] if config.method_name == "lass3d_plus" else []
    torch.manual_seed(0)
    backbone = partial(nets.make_backbone, config.net, batch.features.shape[1])
    ingredients = Ingredients(backbone, classes, TEXT_DIM, None)
    return methods.make_method(with_settings(config, settings).method, ingredients).train()


def added(config: RunConfig, batch: SemiBatch, classes: int) -> int:
    """Bytes of the peak of a step above what is allocated before it, which includes gradients."""
    method = method_of(config, batch, classes)
    optimiser = make_optimiser(config.optim, method.parameters())
    step = partial(take_step, method, optimiser, [batch], max_grad_norm=0.0, device=CPU)
    step(step=0, precision=config.precision)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step(step=1, precision=config.precision)
    results: Any = profiler.profiler
    events = [one for one in results.kineto_results.events() if one.name() == "[memory]"]
    ordered = sorted(events, key=lambda one: one.start_ns())
    return max(accumulate(one.nbytes() for one in ordered))


def kept(config: RunConfig, batch: SemiBatch, classes: int) -> int:
    """Bytes of the tensors that the graph of the losses holds, without the weights and the batch."""
    method = method_of(config, batch, classes)
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, autocast(config.precision, CPU):
        terms = method.losses(batch, 0)
    there = memory_of([*method.parameters(), *method.buffers(), *tensors_in(batch)])
    assert all(term.requires_grad for term in terms.values())
    return sum(size for place, size in memory_of(found).items() if place not in there)


def memory_of(tensors: list[Tensor]) -> dict[int, int]:
    """Where each memory begins -> its bytes."""
    return {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}


def tensors_in(value: object) -> list[Tensor]:
    """The tensors in a tree of dataclasses and tuples."""
    if isinstance(value, Tensor):
        return [value]
    parts = value if isinstance(value, tuple) else vars(value).values() if hasattr(value, "__dict__") else ()
    return [one for part in parts for one in tensors_in(part)]


if __name__ == "__main__":
    main()
