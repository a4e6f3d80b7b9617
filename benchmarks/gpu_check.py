"""Check of a GPU: do the sparse backends agree with the CPU, and how fast are training steps?

    python benchmarks/gpu_check.py [--device cuda] [--turns 2000] [--steps 5]

First, every installed sparse backend in float32 on the device is compared with dense convolutions in float64
on the CPU: the largest difference of the result and of both gradients, relative to the largest value.
Then steps of the methods are timed with the semantickitti preset (MinkUNet18-w32, voxels of 5 cm, two
labelled and two unlabelled scans per micro-batch) on simulated sweeps of about 120 000 points: micro-batches
per second and peak memory, in float32 and bfloat16. The batches are built before.
Without a GPU it says so and ends. `--device cpu --turns 50 --steps 1` tries the script on a CPU.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from types import ModuleType

import numpy as np
import torch
from convolution import simulated_sweep
from torch import Tensor, nn

from lass3d_core import nets, sparse
from lass3d_core.errors import BackendUnavailable
from lass3d_core.paper.safm import TextBatch
from lass3d_core.sparse.maps import KernelPyramid, build_pyramid
from lass3d_core.sparse.voxels import collate, voxelise
from train import methods
from train.config import RunConfig, with_settings
from train.loop import take_step
from train.methods.contract import BatchCounts, Ingredients, SemiBatch
from train.methods.parts.votes import PhraseVotes
from train.optimiser import make_optimiser
from train.presets.published import semantickitti
from train.runs.environment import peak_memory_gib

CLASSES, TEXT_DIM, ROWS, PHRASES = 19, 512, 20, 30
SPAN = 6
TOLERANCE = 1e-5
VARIANTS = (
    ("supervised", ()),
    ("mean_teacher", ()),
    ("lass3d", ("method.pe_form=single_pass",)),
    ("lass3d", ("method.pe_form=paper",)),
)


def main() -> None:
    """Check, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--turns", type=int, default=2000, help="columns of a sweep of 64 beams (2000)")
    parser.add_argument("--steps", type=int, default=5, help="steps of each method that are timed (5)")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("no GPU here: nothing was checked")
        return
    print(torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu", "torch", torch.__version__)
    for name in sparse.BACKENDS:
        print(f"{name:<12} {conformance(name, device)}")
    batches = {labelled: a_batch(arguments.turns, labelled) for labelled in (True, False)}
    print(f"{len(batches[False].features)} voxels in four scans\n{'':<55} {'per second':>10} {'peak GiB':>9}")
    for precision in ("float32", "bfloat16"):
        for method, settings in VARIANTS:
            config = with_settings(semantickitti("x", method, 1.0, 0), [*settings, f"precision={precision}"])
            batch = batches[method == "supervised"]
            name = " ".join([method, *settings, precision])
            print(f"{name:<55} {measured(config, batch, device, arguments.steps)}", flush=True)


def conformance(name: str, device: torch.device) -> str:
    """The largest relative difference of each operation of a backend, or why it cannot be loaded."""
    try:
        backend = sparse.load_backend(name)
    except BackendUnavailable as error:
        return str(error)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    errors = {
        operation: difference(backend, operation, device)
        for operation in ("SubmanifoldConv", "StridedConv", "TransposedConv")
    }
    verdict = "agrees" if max(errors.values()) < TOLERANCE else "DIFFERS"
    return f"{verdict}: " + ", ".join(f"{operation} {error:.1e}" for operation, error in errors.items())


def difference(backend: ModuleType, operation: str, device: torch.device) -> float:
    """The largest relative difference of result and gradients to a dense convolution on the CPU."""
    torch.manual_seed(0)
    chosen = torch.randperm(2 * SPAN**3)[:150]
    coords = torch.stack(torch.unravel_index(chosen, (2, SPAN, SPAN, SPAN)), dim=1).int()
    pyramid = build_pyramid(coords, levels=2)
    layer = getattr(backend, operation)(8, 16)
    fine, coarse = pyramid.coords
    source, target = {"StridedConv": (fine, coarse), "TransposedConv": (coarse, fine)}.get(
        operation, (fine, fine)
    )
    x = torch.randn(len(source), 8)
    upstream = torch.randn(len(target), 16)

    on_device = pyramid.to(device)
    pairs = on_device.submanifold[0] if operation == "SubmanifoldConv" else on_device.stride[0]
    moved, there = layer.to(device), x.to(device).requires_grad_()
    result = moved(there, pairs)
    found = [result, *torch.autograd.grad(result, (there, moved.weight), upstream.to(device))]

    weight = layer.weight.detach().cpu().double().requires_grad_()
    here = x.double().requires_grad_()
    result = dense(operation, here, weight, source, target)
    wanted = [result, *torch.autograd.grad(result, (here, weight), upstream.double())]
    return max(float((a.cpu() - b).abs().max() / b.abs().max()) for a, b in zip(found, wanted))


def dense(operation: str, x: Tensor, weight: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """The operation on a dense grid, at the target voxels."""
    size = SPAN // 2 if operation == "TransposedConv" else SPAN
    grid = x.new_zeros(2, size, size, size, x.shape[1]).index_put(tuple(source.long().unbind(1)), x)
    grid = grid.permute(0, 4, 1, 2, 3)
    width = round(len(weight) ** (1 / 3))
    filters = weight.reshape(width, width, width, *weight.shape[1:])
    if operation == "TransposedConv":
        result = nn.functional.conv_transpose3d(grid, filters.permute(3, 4, 0, 1, 2), stride=2)
    else:
        stride, padding = (2, 0) if operation == "StridedConv" else (1, 1)
        result = nn.functional.conv3d(grid, filters.permute(4, 3, 0, 1, 2), stride=stride, padding=padding)
    return result.permute(0, 2, 3, 4, 1)[tuple(target.long().unbind(1))]


def a_batch(turns: int, labelled_only: bool) -> SemiBatch:
    """Two labelled and two unlabelled scans. A fifth of the voxels has an image and a phrase."""
    torch.manual_seed(0)
    scans = 2 if labelled_only else 4
    sweeps = [simulated_sweep(np.random.default_rng(number), 64, turns) for number in range(scans)]
    coords = collate([voxelise(sweep, 0.05).coords for sweep in sweeps])
    scan, count = coords[:, 0].long(), len(coords)
    has_text = torch.rand(count) < 0.2
    texts = TextBatch(
        image_rows=torch.randn(scans * ROWS, TEXT_DIM),
        image_offsets=tuple(range(0, scans * ROWS + 1, ROWS)),
        image_pooled=torch.randn(scans, TEXT_DIM),
        entity_rows=torch.randn(PHRASES, TEXT_DIM),
    )
    image = scan.masked_fill(~has_text, -1)
    phrase = torch.randint(PHRASES, (count,)).masked_fill(~has_text, -1)
    return SemiBatch(
        features=torch.cat([coords[:, 1:] * 0.05, torch.rand(count, 1)], dim=1),
        pyramid=_pyramid(coords),
        labels=torch.randint(CLASSES, (count,)).masked_fill(scan >= 2, 255),
        is_labelled=scan < 2,
        scan=scan,
        image=image,
        entity=phrase,
        votes=PhraseVotes.certain(phrase),
        texts=texts,
        counts=BatchCounts.of(scan, scan < 2, image, phrase, scans),
    )


def _pyramid(coords: Tensor) -> KernelPyramid:
    return build_pyramid(coords, len(semantickitti("x", "lass3d", 1.0, 0).net.encoder) + 1)


def measured(config: RunConfig, batch: SemiBatch, device: torch.device, steps: int) -> str:
    """Micro-batches per second and peak memory."""
    torch.manual_seed(0)
    ingredients = Ingredients(
        partial(nets.make_backbone, config.net, 4), CLASSES, TEXT_DIM, class_weights=None
    )
    method = methods.make_method(config.method, ingredients).to(device).train()
    optimiser = make_optimiser(config.optim, method.parameters())
    if device.type == "cuda":
        batch = batch.pin_memory()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    started = 0.0
    try:
        for step in range(steps + 2):
            if step == 2:  # two steps of warm-up; a step ends with numbers on the host, so the GPU is idle
                started = time.perf_counter()
            take_step(method, optimiser, [batch], step, 10.0, device, config.precision)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    except torch.OutOfMemoryError:
        return "out of memory"
    return f"{steps / (time.perf_counter() - started):>10.2f} {peak_memory_gib(device):>9.2f}"


if __name__ == "__main__":
    main()
