"""Where the time of a training step goes: `python -m train profile`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lass3d_core.nets.segmenter import Segmenter
from train.data.batches import StepBatches
from train.loop import take_step
from train.methods.contract import Method, SemiBatch
from train.optimiser import make_optimiser
from train.runs.environment import peak_memory_gib
from train.runs.run import Run

BUILDING, MOVING, REST = "building the batch", "moving it to the device", "backward and clipping"
_WARM_UP = 2  # steps that allocate memory and choose kernels


class Stopwatch:
    """Seconds by part. A part that lies within another stops the clock of that one."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device
        self._open: list[str] = []
        self._since = 0.0

    def start(self, part: str) -> None:
        """From here on the time is that of `part`."""
        self._book()
        self._open.append(part)
        self.seconds.setdefault(part, 0.0)

    def stop(self) -> None:
        """The latest part ends; the time is again that of the one around it."""
        self._book()
        self._open.pop()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """`name` while the block runs."""
        self.start(name)
        yield
        self.stop()

    def _book(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now


class _Watched(nn.Module):
    """A method whose every part is timed."""

    def __init__(self, method: Method, watch: Stopwatch) -> None:
        super().__init__()
        self.method, self.watch = method, watch
        for name, module in _parts(method).items():
            module.register_forward_pre_hook(_starting(watch, name))
            module.register_forward_hook(lambda module, inputs, output: watch.stop())

    @property
    def measures(self) -> dict[str, float]:
        return self.method.measures

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        with self.watch.part("losses"):
            return self.method.losses(batch, step)

    def further_losses(self, batch: SemiBatch, step: int) -> Iterator[dict[str, Tensor]]:
        rounds = self.method.further_losses(batch, step)
        while True:
            with self.watch.part("losses"):
                terms = next(rounds, None)
            if terms is None:
                return
            yield terms

    def after_step(self, step: int) -> None:
        with self.watch.part("Eq. (1)"):
            self.method.after_step(step)


def _starting(watch: Stopwatch, name: str) -> Callable[[nn.Module, object], None]:
    return lambda module, inputs: watch.start(name)


def _parts(method: nn.Module) -> dict[str, nn.Module]:
    """The networks that a method calls, by name: its children, and those of a branch in its place."""
    parts: dict[str, nn.Module] = {}
    for name, child in method.named_children():
        if isinstance(child, Segmenter):
            parts |= {f"{name} {own}": module for own, module in child.named_children()}
        else:
            parts[name] = child
    return parts


def profile_steps(run: Run, steps: int) -> str:
    """A table of the mean times of `steps` steps of `run`, after some that warm up; nothing is written.

    The batches are built here, without workers: with enough of them their time is hidden behind the rest.
    """
    config, watch = run.config, Stopwatch(run.device)
    method = _Watched(run.make_method(), watch).train()
    optimiser = make_optimiser(config.optim, method.parameters())
    optimiser.register_step_pre_hook(lambda *_: watch.start("optimiser"))
    optimiser.register_step_post_hook(lambda *_: watch.stop())
    data, clip = config.data, config.optim.max_grad_norm
    batches = StepBatches(run.pairs, run.split, data, config.seed, run.levels, steps + _WARM_UP)
    voxels = []
    for step in range(steps + _WARM_UP):
        if step == _WARM_UP:
            watch.seconds.clear()
        with watch.part(BUILDING):
            group = [batches[step * data.accumulate + part] for part in range(data.accumulate)]
        with watch.part(MOVING):
            group = [batch.to(run.device) for batch in group]
        with watch.part(REST):
            take_step(method, optimiser, group, step, clip, run.device, config.precision)
        voxels += [len(batch.features) for batch in group]
    title = f"{config.name}, {config.precision}, {data.accumulate} x {sum(voxels) // len(voxels)} voxels"
    return _table(title, watch.seconds, steps, run.device)


def _table(title: str, seconds: dict[str, float], steps: int, device: torch.device) -> str:
    """Parts in the order in which they first come, those of a step before their sum."""
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
