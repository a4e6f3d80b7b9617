"""`python -m train profile`: where the time of a training step goes.

The stopwatch is ours, not torch.profiler, because the table lists parts of a method, each without the parts
nested in it. torch.profiler reports operators and kernels, and its times of a range include nested ranges.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from lass3d_core.compute.precision import make_scaler
from lass3d_core.nets.segmenter import Segmenter
from train.data.batches import StepBatches
from train.loop import take_step
from train.methods.contract import Method
from train.optimiser import make_optimiser
from train.runs.environment import peak_memory_gib
from train.runs.run import Run

BUILDING, MOVING, REST = "building the batch", "moving it to the device", "backward and clipping"
_WARM_UP = 2  # steps that allocate memory and choose kernels


class Stopwatch:
    """Seconds by part. While a part runs inside another, the clock of the outer one stands still."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device
        self._open: list[str] = []
        self._since = 0.0

    def start(self, part: str, *_: object) -> None:
        """Begin `part`. Further arguments, such as a hook's, are ignored."""
        self._book()
        self._open.append(part)
        self.seconds.setdefault(part, 0.0)

    def stop(self, *_: object) -> None:
        """End the innermost part. Arguments are ignored."""
        self._book()
        self._open.pop()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time the block as `name`."""
        self.start(name)
        yield
        self.stop()

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, timed as `name`."""

        def run(*arguments: Any) -> Any:
            with self.part(name):
                return call(*arguments)

        return run

    def _book(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now


def watch_method(method: Method, watch: Stopwatch) -> None:
    """Time every part of `method` from now on."""
    for name, module in _parts(method).items():
        module.register_forward_pre_hook(partial(watch.start, name))
        module.register_forward_hook(watch.stop)
    further_losses: Callable[..., Any] = partial(_further_losses, watch, method.further_losses)
    method.further_losses = further_losses  # type: ignore[method-assign]
    method.losses = watch.timed("losses", method.losses)  # type: ignore[method-assign]
    method.after_step = watch.timed("Eq. (1)", method.after_step)  # type: ignore[method-assign]


def _further_losses(watch: Stopwatch, further_losses: Callable[..., Any], *arguments: Any) -> Iterator[Any]:
    rounds = further_losses(*arguments)
    return iter(watch.timed("losses", lambda: next(rounds, None)), None)


def _parts(method: nn.Module) -> dict[str, nn.Module]:
    """The networks of a method by name: its children, and the children of a Segmenter instead of itself."""
    parts: dict[str, nn.Module] = {}
    for name, child in method.named_children():
        if isinstance(child, Segmenter):
            parts |= {f"{name} {own}": module for own, module in child.named_children()}
        else:
            parts[name] = child
    return parts


def profile_steps(run: Run, steps: int) -> str:
    """A table of the mean times of `steps` steps of `run`, after some steps of warm-up. Writes no file.

    The batches are built in this process. In training, enough workers hide that time.
    """
    config, watch = run.config, Stopwatch(run.device)
    method = run.make_method().train()
    watch_method(method, watch)
    optimiser = make_optimiser(config.optim, method.parameters())
    scaler = make_scaler(config.precision, run.device)
    optimiser.register_step_pre_hook(partial(watch.start, "optimiser"))
    optimiser.register_step_post_hook(watch.stop)
    data, clip = config.data, config.optim.max_grad_norm
    on_gpu = run.device.type == "cuda"
    batches = StepBatches(
        run.pairs, run.split, data, config.seed, run.levels, steps + _WARM_UP, for_gpu=on_gpu
    )
    voxels = []
    for step in range(steps + _WARM_UP):
        if step == _WARM_UP:
            watch.seconds.clear()
        with watch.part(BUILDING):
            group = [batches[step * data.accumulate + part] for part in range(data.accumulate)]
        with watch.part(MOVING):
            group = [batch.to(run.device) for batch in group]
        with watch.part(REST):
            how = clip, run.device, config.precision, scaler, config.optim.once_per_step
            take_step(method, optimiser, group, step, *how)
        voxels += [len(batch.features) for batch in group]
    title = f"{config.name}, {config.precision}, {data.accumulate} x {sum(voxels) // len(voxels)} voxels"
    return _table(title, watch.seconds, steps, run.device)


def _table(title: str, seconds: dict[str, float], steps: int, device: torch.device) -> str:
    """The parts of a step in the order in which they begin, their sum, and what happens beside a step."""
    beside = {BUILDING, MOVING}
    total = sum(value for part, value in seconds.items() if part not in beside)
    rows = [
        *((part, value) for part, value in seconds.items() if part not in beside and value / total > 1e-4),
        ("one step", total),
        *((part, seconds[part]) for part in (BUILDING, MOVING)),
    ]
    width = max(len(part) for part, _ in rows)
    lines = [title, f"{'':<{width}} {'ms':>9} {'% of a step':>12}"]
    lines += [
        f"{part:<{width}} {1e3 * value / steps:>9.1f} {100 * value / total:>12.1f}" for part, value in rows
    ]
    lines.append(f"mean of {steps} steps, peak memory {peak_memory_gib(device):.2f} GiB ({device.type})")
    return "\n".join(lines)
