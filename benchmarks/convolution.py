"""How near the reference sparse convolution comes to its limit: bare matrix products of the same size.

    python benchmarks/convolution.py [--voxel-size 0.1] [--rounds 3]

The layers are those of MinkUNet18-w32 on a LiDAR sweep. The limit of a layer is one dense product with as
many multiplications, forward, and two of them, backward: no gathering, no summing, memory allocated before.
Single thread, processor time, both interleaved in one process, the median of the rounds per layer; only the
ratios mean anything, and other work on the machine raises them, for it takes away the cache.
A simulated sweep needs no files; a real one (nuScenes) is added where the folder LASS3D_SAMPLES, by default
shared/samples beside the checkout, holds it.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from lass3d_core.nets import build
from lass3d_core.nets.unet import UNetConfig
from lass3d_core.sparse.maps import KernelMap, KernelPyramid, build_pyramid
from lass3d_core.sparse.reference import StridedConv, SubmanifoldConv, TransposedConv
from lass3d_core.voxels import collate, voxelise

SAMPLES = Path(os.environ.get("LASS3D_SAMPLES", Path(__file__).parents[2] / "shared" / "samples"))
CONVOLUTIONS = (SubmanifoldConv, StridedConv, TransposedConv)


@dataclass(frozen=True)
class Seconds:
    """Processor time of one layer, or of their sum."""

    forward: float
    backward: float
    forward_limit: float
    backward_limit: float


def main() -> None:
    """Measure every sweep at hand and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voxel-size", type=float, default=0.1, help="metres (default: 0.1)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements per layer (default: 3)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lines = [
        measure(name, points, arguments.voxel_size, arguments.rounds) for name, points in sweeps().items()
    ]
    print(f"{'sweep':<10} {'voxels':>7} {'pairs/voxel':>12} {'forward':>8} {'backward':>9} {'maps':>6}")
    print("\n".join(lines))
    print("forward, backward: time / limit (1.0 is unreachable); maps: time to voxelise and build / forward")


def sweeps() -> dict[str, Tensor]:
    """Name -> points (N,3) float32 metres."""
    found = {"simulated": simulated_sweep(np.random.default_rng(0))}
    real = SAMPLES / "nuscenes" / "LIDAR_TOP.bin"
    if real.exists():
        found["nuScenes"] = torch.from_numpy(np.fromfile(real, np.float32).reshape(-1, 5)[:, :3].copy())
    return found


def simulated_sweep(rng: np.random.Generator, beams: int = 32, turns: int = 1084) -> Tensor:
    """Points (N,3) float32 of a spinning sensor 1.8 m above a plane with 60 posts and round towers on it."""
    elevation, azimuth = np.meshgrid(
        np.radians(np.linspace(-30, 10, beams)),
        np.linspace(0, 2 * np.pi, turns, endpoint=False),
        indexing="ij",
    )
    rise = np.tan(elevation).ravel()
    heading = np.stack([np.cos(azimuth), np.sin(azimuth)], axis=-1).reshape(-1, 2)
    reach = np.where(rise < 0, -1.8 / np.minimum(rise, -1e-6), np.inf)
    for centre in rng.uniform(-40, 40, (60, 2)):
        radius, top = rng.uniform(0.2, 4), rng.uniform(0, 6)
        along = heading @ centre
        inside = radius**2 - (centre @ centre - along**2)
        near = along - np.sqrt(np.maximum(inside, 0))
        reach = np.where((inside > 0) & (near > 1) & (near * rise < top), np.minimum(reach, near), reach)
    seen = reach < 80
    points = np.column_stack([heading * reach[:, None], rise * reach])[seen]
    return torch.from_numpy((points + rng.normal(0, 0.02, points.shape)).astype(np.float32))


def measure(name: str, points: Tensor, voxel_size: float, rounds: int) -> str:
    """One line of the table."""
    net = build(UNetConfig(), in_channels=4)

    def maps() -> KernelPyramid:
        return build_pyramid(collate([voxelise(points, voxel_size).coords]), net.levels)

    pyramid = maps()
    seconds_of_maps = median(seconds_of(maps) for _ in range(rounds))
    layers = layers_of(net, pyramid)
    per_layer = [
        measure_layer(layer, cin, pairs, rounds) for layer, cin, pairs in tqdm(layers, name, unit="layer")
    ]
    forward, backward, forward_limit, backward_limit = (
        sum(getattr(seconds, field) for seconds in per_layer)
        for field in ("forward", "backward", "forward_limit", "backward_limit")
    )
    voxels = len(pyramid.coords[0])
    pairs_per_voxel = sum(pyramid.submanifold[0].counts) / voxels + 1  # 1: the centre
    ratios = (
        f"{forward / forward_limit:>8.2f} {backward / backward_limit:>9.2f} {seconds_of_maps / forward:>6.2f}"
    )
    return f"{name:<10} {voxels:>7} {pairs_per_voxel:>12.1f} {ratios}"


def layers_of(net: nn.Module, pyramid: KernelPyramid) -> list[tuple[nn.Module, Tensor, KernelMap]]:
    """Every convolution that a forward pass of the network runs, with an input and a kernel map."""
    layers: list[tuple[nn.Module, Tensor, KernelMap]] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, KernelMap], _: Tensor) -> None:
        layers.append((layer, torch.randn_like(inputs[0]).requires_grad_(), inputs[1]))

    convolutions = [layer for layer in net.modules() if isinstance(layer, CONVOLUTIONS)]
    hooks = [layer.register_forward_hook(note) for layer in convolutions]
    with torch.no_grad():
        net(torch.randn(len(pyramid.coords[0]), 4), pyramid)
    for hook in hooks:
        hook.remove()
    return layers


def measure_layer(layer: nn.Module, x: Tensor, pairs: KernelMap, rounds: int) -> Seconds:
    """Forward and backward of one layer beside dense products with as many multiplications."""
    weight = layer.weight
    rows = sum(pairs.counts) + (len(x) if pairs.centre is not None else 0)
    matrix = weight.detach()[0]
    dense_x, dense_y = torch.randn(rows, len(matrix)), torch.randn(rows, matrix.shape[1])
    grad_x, grad_matrix = torch.empty_like(dense_x), torch.empty_like(matrix)
    y = layer(x, pairs)
    upstream = torch.randn_like(y)

    def forward() -> None:
        layer(x, pairs)

    def forward_limit() -> None:
        torch.mm(dense_x, matrix, out=dense_y)

    def backward() -> None:
        torch.autograd.grad(y, (x, weight), upstream, retain_graph=True)

    def backward_limit() -> None:
        torch.mm(dense_y, matrix.t(), out=grad_x)
        torch.mm(dense_x.t(), dense_y, out=grad_matrix)

    works = (forward, backward, forward_limit, backward_limit)
    taken = [[seconds_of(work) for work in works] for _ in range(rounds + 1)][1:]  # the first warms up
    return Seconds(*(median(column) for column in zip(*taken)))


def seconds_of(work: Callable[[], object]) -> float:
    """Processor time of `work`."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
