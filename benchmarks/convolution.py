"""Speed of the reference sparse convolution, against its limit and against spconv.

    python benchmarks/convolution.py [--voxel-size 0.1] [--rounds 7]

The layers are taken from MinkUNet18-w32 on a LiDAR sweep. The limit of a layer is one dense product with as
many multiplications, forward, and two products backward: no gathering, no summing, memory allocated before.
spconv is measured if it is installed: on a CPU, forward only, because it has no backward pass there.
Everything runs in turn in one process of one thread. A time is the least of the rounds, because other work on
the machine only adds to it. Only the ratios are meaningful.
The simulated sweep needs no files. A real one (nuScenes) is added if the folder LASS3D_SAMPLES, by default
shared/samples beside the checkout, holds it.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from lass3d_core.errors import BackendUnavailable
from lass3d_core.nets import make_backbone
from lass3d_core.nets.unet import UNetConfig
from lass3d_core.sparse import load_backend
from lass3d_core.sparse.maps import KernelMap, KernelPyramid, build_pyramid
from lass3d_core.sparse.reference import StridedConv, SubmanifoldConv, TransposedConv
from lass3d_core.sparse.voxels import collate, voxelise

SAMPLES = Path(os.environ.get("LASS3D_SAMPLES", Path(__file__).parents[2] / "shared" / "samples"))
CONVOLUTIONS = (SubmanifoldConv, StridedConv, TransposedConv)
COLUMNS = ("forward", "backward", "together", "bf16 fwd", "bf16 bwd", "spconv", "limit16")
LIMIT_OF = {"backward": "backward limit", "bf16 bwd": "backward limit", "together": "limits"}
PROCESS = Path("/proc/self")


def main() -> None:
    """Measure every available sweep and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voxel-size", type=float, default=0.1, help="metres (default: 0.1)")
    parser.add_argument("--rounds", type=int, default=7, help="measurements per layer (default: 7)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    spconv = spconv_if_installed()
    lines = [
        measure(name, points, arguments.voxel_size, arguments.rounds, spconv)
        for name, points in sweeps().items()
    ]
    titles = " ".join(f"{title:>9}" for title in COLUMNS)
    print(
        f"{'sweep':<10} {'voxels':>7} {'pairs/voxel':>12} {titles} {'maps ms':>8} {'maps':>6} {'peak MB':>8}"
    )
    print("\n".join(lines))
    print(
        "columns up to limit16: time / the float32 limit (1.0 is unreachable), limit16 its bfloat16 products;"
    )
    print("maps: time to voxelise and build them, and that / forward; peak: memory that a training step adds")
    if spconv is None:
        print("spconv is not installed, so it was not measured")


def spconv_if_installed() -> ModuleType | None:
    """The backend of spconv, or None."""
    try:
        return load_backend("spconv")
    except BackendUnavailable:
        return None


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
    reach, heading, rise = reach[seen], heading[seen], rise[seen]
    points = np.column_stack([heading * reach[:, None], rise * reach])
    return torch.from_numpy((points + rng.normal(0, 0.02, points.shape)).astype(np.float32))


def measure(name: str, points: Tensor, voxel_size: float, rounds: int, spconv: ModuleType | None) -> str:
    """One line of the table."""
    net = make_backbone(UNetConfig(), in_channels=4)

    def maps() -> KernelPyramid:
        return build_pyramid(collate([voxelise(points, voxel_size).coords]), UNetConfig().levels)

    pyramid = maps()
    seconds_of_maps = min(seconds_of(maps) for _ in range(3 * rounds))
    added = memory_of_a_step(net, pyramid)
    total: dict[str, float] = {}
    for layer, x, pairs in tqdm(layers_of(net, pyramid), name, unit="layer"):
        for work, seconds in measure_layer(layer, x, pairs, rounds, spconv).items():
            total[work] = total.get(work, 0) + seconds
    total["together"] = total["forward"] + total["backward"]
    total["limits"] = total["limit"] + total["backward limit"]
    ratios = " ".join(ratio(total, column) for column in COLUMNS)
    pairs_per_voxel = sum(pyramid.submanifold[0].counts) / len(pyramid.coords[0]) + 1  # 1: the centre
    size = f"{len(pyramid.coords[0]):>7} {pairs_per_voxel:>12.1f}"
    maps_taken = f"{1e3 * seconds_of_maps:>8.1f} {seconds_of_maps / total['forward']:>6.2f}"
    return f"{name:<10} {size} {ratios} {maps_taken} {added}"


def ratio(total: dict[str, float], column: str) -> str:
    """Time over the float32 limit of the same direction, or of both; a dash if not measured."""
    if column not in total:
        return f"{'-':>9}"
    return f"{total[column] / total[LIMIT_OF.get(column, 'limit')]:>9.2f}"


def memory_of_a_step(net: nn.Module, pyramid: KernelPyramid) -> str:
    """Memory that forward and backward add at their peak, in MB; a dash without /proc."""
    reset, status = PROCESS / "clear_refs", PROCESS / "status"
    if not reset.exists():
        return f"{'-':>8}"
    features = torch.randn(len(pyramid.coords[0]), 4)
    reset.write_text("5")  # the peak starts again from what is held now
    before = kilobytes(status, "VmRSS")
    net(features, pyramid).square().mean().backward()
    peak = kilobytes(status, "VmHWM") - before
    net.zero_grad()
    return f"{peak / 1024:>8.0f}"


def kilobytes(status: Path, field: str) -> int:
    """One line of /proc/self/status."""
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(field))


def layers_of(net: nn.Module, pyramid: KernelPyramid) -> list[tuple[nn.Module, Tensor, KernelMap]]:
    """Every convolution of a forward pass, with a random input and its kernel map."""
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


def measure_layer(
    layer: nn.Module, x: Tensor, pairs: KernelMap, rounds: int, spconv: ModuleType | None
) -> dict[str, float]:
    """Seconds of one layer forward and backward, of its limits and of spconv."""
    works = {**limits(layer, x, pairs), **works_of(layer, x, pairs, "forward", "backward")}
    with torch.autocast("cpu", torch.bfloat16):
        works |= works_of(layer, x, pairs, "bf16 fwd", "bf16 bwd")
    if spconv is not None:
        works["spconv"] = spconv_forward(layer, x, pairs, spconv)
    taken = [[seconds_of(work) for work in works.values()] for _ in range(rounds + 1)]
    return dict(zip(works, map(min, zip(*taken[1:]))))  # the first round warms up


def spconv_forward(layer: nn.Module, x: Tensor, pairs: KernelMap, spconv: ModuleType) -> Callable[[], object]:
    """The function of spconv alone. Weight and pairs are brought into its layout before."""
    if isinstance(layer, TransposedConv):
        pairs = pairs.transposed()
    features, filters = x.detach(), spconv.filters_of(layer.get_parameter("weight").detach())
    indices, counts = spconv.indices_of(pairs)
    targets, itself = len(pairs.by_target.offsets) - 1, pairs.centre is not None
    return lambda: spconv.ops.indice_conv(
        features, filters, indices, counts, targets, subm=itself, algo=spconv.ConvAlgo.Native
    )


def works_of(
    layer: nn.Module, x: Tensor, pairs: KernelMap, forward_name: str, backward_name: str
) -> dict[str, Callable[[], object]]:
    """Forward and backward of the layer, in the current precision of autocast."""
    half = torch.is_autocast_enabled("cpu")
    y = layer(x, pairs)
    upstream = torch.randn_like(y)

    def forward() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            layer(x, pairs)

    def backward() -> None:
        torch.autograd.grad(y, (x, layer.get_parameter("weight")), upstream, retain_graph=True)

    return {forward_name: forward, backward_name: backward}


def limits(layer: nn.Module, x: Tensor, pairs: KernelMap) -> dict[str, Callable[[], object]]:
    """Dense products with as many multiplications."""
    rows = sum(pairs.counts) + (len(x) if pairs.centre is not None else 0)
    matrix = layer.get_parameter("weight").detach()[0]
    dense_x, dense_y = torch.randn(rows, len(matrix)), torch.randn(rows, matrix.shape[1])
    grad_x, grad_matrix = torch.empty_like(dense_x), torch.empty_like(matrix)
    half_x, half_matrix, half_y = dense_x.bfloat16(), matrix.bfloat16(), dense_y.bfloat16()

    def backward_limit() -> None:
        torch.mm(dense_y, matrix.t(), out=grad_x)
        torch.mm(dense_x.t(), dense_y, out=grad_matrix)

    return {
        "limit": lambda: torch.mm(dense_x, matrix, out=dense_y),
        "backward limit": backward_limit,
        "limit16": lambda: torch.mm(half_x, half_matrix, out=half_y),
    }


def seconds_of(work: Callable[[], object]) -> float:
    """Processor time of `work`."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
