"""The training loop: steps of the optimiser, validation, checkpoints.

Every random draw of step t derives from (seed, t). So a resumed run gives the same result as an uninterrupted
one; on a CPU to the bit.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from lass3d_core.compute import parallel
from lass3d_core.compute.precision import Precision, autocast
from lass3d_core.errors import Lass3dError
from lass3d_core.progress.bars import progress_bar
from train.config import RunConfig
from train.methods.contract import Measures, Method, SemiBatch
from train.optimiser import learning_rate, plain_step, set_rate
from train.runs.environment import peak_memory_gib

LOG_LINES = 50
"""About how many lines a run writes into a log file in place of its bar."""

Figures = dict[str, float]
Terms = dict[str, Tensor]


@dataclass(frozen=True)
class Callbacks:
    """What the loop calls, so that it knows nothing of folders, files and metrics."""

    title: str  # of the progress bar
    log: Callable[[int, Mapping[str, float]], None]  # gets the step and its figures
    validate: Callable[[], Figures]  # returns figures of the network as it is now
    save: Callable[[int], object]  # gets the number of steps done
    stop: Callable[[], bool] = lambda: False  # asked before each step: save and end now?


def train(
    config: RunConfig,
    method: Method,
    optimiser: torch.optim.Optimizer,
    batches: Iterable[SemiBatch],
    device: torch.device,
    steps_done: int,
    callbacks: Callbacks,
    scaler: GradScaler | None = None,
) -> None:
    """Take the steps steps_done, ..., steps - 1. `batches` yields their micro-batches in this order.

    Ends early, with a checkpoint, if `callbacks.stop` says so.
    Raises Lass3dError, which names step and term, if a loss or a gradient is not finite.
    """
    schedule = config.schedule
    look: dict[str, Any] = {"desc": callbacks.title, "unit": "step", "mininterval": 0.5, "lines": LOG_LINES}
    bar = progress_bar(total=schedule.steps, initial=steps_done, disable=parallel.rank() > 0, **look)
    groups = zip(*[iter(batches)] * config.data.accumulate)  # the micro-batches of each step
    shown: dict[str, str] = {}
    saved = steps_done
    method.train()
    with bar:
        started = time.perf_counter()
        for step in range(steps_done, schedule.steps):
            group = next(groups, None)
            if callbacks.stop() or group is None:
                if step > saved:
                    callbacks.save(step)
                return
            waited = time.perf_counter() - started
            torch.manual_seed(step_seed(config.seed, step))
            rate = learning_rate(config.optim, schedule, step)
            set_rate(optimiser, rate)
            clip, precision = config.optim.max_grad_norm, config.precision
            how = clip, device, precision, scaler, config.optim.once_per_step
            figures = take_step(method, optimiser, group, step, *how)
            figures |= {"rate": rate, "seconds": time.perf_counter() - started, "seconds_waiting": waited}
            figures |= {"peak_memory_gib": peak_memory_gib(device)}
            done = step + 1
            if done % schedule.validate_every == 0 or done == schedule.steps:
                figures |= callbacks.validate()
                method.train()
            callbacks.log(step, figures)
            if done % schedule.checkpoint_every == 0 or done == schedule.steps:
                callbacks.save(done)
                saved = done
            shown |= {name: f"{figures[name]:.3g}" for name in ("loss", "val_miou") if name in figures}
            bar.set_postfix(shown, refresh=False)
            bar.update()
            started = time.perf_counter()


def take_step(
    method: Method,
    optimiser: torch.optim.Optimizer,
    batches: Sequence[SemiBatch],
    step: int,
    max_grad_norm: float,
    device: torch.device,
    precision: Precision = "float32",
    scaler: GradScaler | None = None,
    once_per_step: bool = False,
) -> Figures:
    """Take one step: the objective, Eq. (9), then the inner rounds, with an update after each.

    The gradients of the micro-batches `batches` are averaged. The only difference from one large batch is
    batch norm: it normalises each micro-batch by itself, as on several GPUs that do not synchronise it.
    Only the forward passes run in `precision`. scaler: see `make_scaler`. once_per_step: see `plain_step`.

    Returns means over the micro-batches. `updates`: of the optimiser. `passes`: through any backbone, of
    student or teacher, per micro-batch.
    Raises Lass3dError if a loss or a gradient is not finite.
    Decision: this is found at the step's end, with the weights spoilt: to look before the update would make
    every step wait for the GPU. The run ends at its last checkpoint.
    """
    inner_rounds: list[Iterator[Terms]] = []
    measured: list[Measures] = []

    def objectives() -> Iterator[Terms]:
        for batch in batches:
            on_device = batch.to(device)
            with autocast(precision, device):
                terms = method.losses(on_device, step)
            yield terms
            inner_rounds.append(method.further_losses(on_device, step))
            measured.append(dict(method.measures))

    def next_round() -> Iterator[Terms]:
        """The terms of one inner round. Micro-batches with no rounds left are skipped."""
        for rounds in inner_rounds:
            with autocast(precision, device):
                terms = next(rounds, None)
            if terms is not None:
                yield terms

    share = 1 / len(batches)
    with count_backbone_passes(method) as passes:
        updates: list[Update] = []
        # All micro-batches take a round before the optimiser moves, as one large batch would.
        update = optimiser_step(optimiser, objectives(), share, max_grad_norm, scaler)
        while update is not None:
            updates.append(update)
            update = optimiser_step(optimiser, next_round(), share, max_grad_norm, scaler, once_per_step)
    method.after_step(step)

    # The only wait of a step: its work is queued by now, and its figures are read together.
    taken, measures = read_figures(updates, measured)
    for one in taken:
        require_finite(one, step)
    method.hear(step, measures)
    cost = {"updates": float(len(taken)), "passes": share * len(passes)}
    return sum_figures(taken[0].parts, share) | taken[0].own | cost | sum_figures(measures, share)


@contextmanager
def count_backbone_passes(method: nn.Module) -> Iterator[list[nn.Module]]:
    """Collect the backbone of each forward pass while the block runs: the cost of a step of a method.

    A backbone is a module with `out_channels` and `levels`.
    """
    passes: list[nn.Module] = []
    backbones = (one for one in method.modules() if hasattr(one, "out_channels") and hasattr(one, "levels"))
    handles = [one.register_forward_hook(lambda module, *_: passes.append(module)) for one in backbones]
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()


class Update(NamedTuple):
    """What one update of the optimiser leaves to be read.

    parts: of each micro-batch the loss and its terms, scalars, summed over the processes that train together.
    own: the norm of the gradient, and with float16 the scale of the losses.
    """

    parts: list[Terms]
    own: Terms


class Taken(NamedTuple):
    """An Update in numbers."""

    parts: list[Figures]
    own: Figures


def optimiser_step(
    optimiser: torch.optim.Optimizer,
    objectives: Iterable[Terms],
    share: float,
    max_grad_norm: float,
    scaler: GradScaler | None = None,
    plain: bool = False,
) -> Update | None:
    """Update the parameters once, along `share` times the sum of `objectives`. None if there are none.

    plain: by `plain_step`.
    """
    optimiser.zero_grad(set_to_none=True)
    # `objectives` is lazy: the graph of one is freed before the next is made, so that memory holds one.
    parts = [backward(terms, share, scaler) for terms in objectives]
    if not parts:
        return None
    parallel.all_reduce_gradients(trained_parameters(optimiser))
    if scaler is not None:
        scaler.unscale_(optimiser)
    norm = nn.utils.clip_grad_norm_(trained_parameters(optimiser), max_grad_norm or math.inf)
    if plain:
        plain_step(optimiser, norm)
    elif scaler is None:
        optimiser.step()
    else:
        # Leaves the parameters as they are if a gradient is not finite. If fused, it decides on the device.
        scaler.step(optimiser)
    if scaler is None:
        return Update(parts, {"gradient_norm": norm})
    scaler.update()
    return Update(parts, {"gradient_norm": norm, "loss_scale": scaler.scale(torch.ones_like(norm))})


def backward(terms: Terms, share: float, scaler: GradScaler | None = None) -> Terms:
    """Add the gradient of `share` times the sum of `terms`. Returns their sum, `loss`, and the terms."""
    total = torch.stack(list(terms.values())).sum()
    scaled = share * total if scaler is None else scaler.scale(share * total)
    scaled.backward()
    return {"loss": total.detach(), **{name: value.detach() for name, value in terms.items()}}


def read_figures(
    updates: Sequence[Update], measured: Sequence[Measures]
) -> tuple[list[Taken], list[Figures]]:
    """What the updates and the measures of a step are in numbers. The program waits for the GPU once."""
    terms = [part for update in updates for part in update.parts]
    others = [*(update.own for update in updates), *measured]
    # Summed over the processes that train together: each has its share of a term, see losses.py.
    values = torch.cat([parallel.all_reduce_sum(_scalars(terms)), _scalars(others)])
    numbers = iter(values.tolist())
    read = [
        {name: next(numbers) if isinstance(value, Tensor) else value for name, value in one.items()}
        for one in (*terms, *others)
    ]
    parts, own, measures = iter(read[: len(terms)]), read[len(terms) :], read[len(terms) + len(updates) :]
    taken = [Taken(list(itertools.islice(parts, len(one.parts))), of) for one, of in zip(updates, own)]
    return taken, measures


def _scalars(figures: Iterable[Measures]) -> Tensor:
    """The scalar tensors of all mappings as one, (n,) float64."""
    found = [
        value.detach().double() for one in figures for value in one.values() if isinstance(value, Tensor)
    ]
    return torch.stack(found) if found else torch.empty(0, dtype=torch.float64)


def sum_figures(parts: Iterable[Figures], share: float) -> Figures:
    """`share` times the sum of each figure over `parts`. A figure that a part lacks counts as 0."""
    total: Figures = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, 0.0) + share * value
    return total


def require_finite(taken: Taken, step: int) -> None:
    """Raises Lass3dError unless the losses and the gradient of an update are finite.

    A gradient that the scale of float16 made infinite is no error: its update was left out, and the scale is
    halved. Below 1 the scale is not the reason.
    """
    # The sum, `loss`, comes first in a part, and is looked at last: the term that spoilt it is named.
    values = [(f"the loss {name}", part[name]) for part in taken.parts for name in (*list(part)[1:], "loss")]
    if taken.own.get("loss_scale", 0.0) < 1:
        values.append(("the norm of the gradient", taken.own["gradient_norm"]))
    for what, value in values:
        if not math.isfinite(value):
            raise Lass3dError(
                f"step {step}: {what} is {value}; the last checkpoint is from before it; "
                "a lower optim.peak_lr or optim.max_grad_norm=10 (--set) usually helps"
            )


def trained_parameters(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    """The parameters that `optimiser` updates."""
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def step_seed(seed: int, step: int) -> int:
    """The seed of torch's draws in `step`: distinct for every (seed, step) below 2^31 steps."""
    return (seed << 31) + step
