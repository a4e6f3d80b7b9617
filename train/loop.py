"""The training loop.

Every draw of step t derives from (seed, t), so a run that is stopped and resumed is the run that was not.

A step of `data.accumulate` micro-batches moves the optimiser, the learning rate and the teacher (Eq. 1) once,
along the mean of their gradients. Batch norm alone tells them from one large batch: each micro-batch is
normalised by itself and moves the running statistics, as on several GPUs that do not synchronise theirs.
Only the forward passes run in the configured precision; see lass3d_core/compute/precision.py.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lass3d_core.compute import parallel
from lass3d_core.compute.precision import Precision, autocast
from lass3d_core.errors import Lass3dError
from train.config import RunConfig
from train.forward_passes import count_backbone_passes
from train.methods.contract import Method, SemiBatch, to_floats
from train.optimiser import learning_rate, set_rate
from train.runs.environment import peak_memory_gib

Figures = dict[str, float]
Terms = dict[str, Tensor]


@dataclass(frozen=True)
class Callbacks:
    """What the loop calls, so that it needs to know nothing of folders, files and metrics.

    title: of the progress bar. log: takes the step and its figures. validate: figures of the network as it
    is. save: takes the number of steps done. line: the row of the terminal that the progress bar is drawn in.
    """

    title: str
    log: Callable[[int, Mapping[str, float]], None]
    validate: Callable[[], Figures]
    save: Callable[[int], object]
    line: int = 0


def train(
    config: RunConfig,
    method: Method,
    optimiser: torch.optim.Optimizer,
    batches: Iterable[SemiBatch],
    device: torch.device,
    steps_done: int,
    around: Callbacks,
) -> None:
    """Take the steps steps_done, ..., steps - 1, whose micro-batches `batches` yields in this order.

    Raises Lass3dError, naming step and term, when a loss or a gradient is not finite.
    """
    schedule = config.schedule
    bar = tqdm(
        total=schedule.steps,
        initial=steps_done,
        desc=around.title,
        unit="step",
        position=around.line,
        dynamic_ncols=True,
        mininterval=0.5,
        disable=parallel.rank() > 0,
    )
    groups = zip(*[iter(batches)] * config.data.accumulate)  # the micro-batches of a step, together
    shown: dict[str, str] = {}
    method.train()
    with bar:
        started = time.perf_counter()
        for step, group in zip(range(steps_done, schedule.steps), groups):
            waited = time.perf_counter() - started
            torch.manual_seed(step_seed(config.seed, step))
            rate = learning_rate(config.optim, schedule, step)
            set_rate(optimiser, rate)
            clip, precision = config.optim.max_grad_norm, config.precision
            figures = take_step(method, optimiser, group, step, clip, device, precision)
            figures |= {"rate": rate, "seconds": time.perf_counter() - started, "seconds_waiting": waited}
            figures |= {"peak_memory_gib": peak_memory_gib(device)}
            done = step + 1
            if done % schedule.validate_every == 0 or done == schedule.steps:
                figures |= around.validate()
                method.train()
            around.log(step, figures)
            if done % schedule.checkpoint_every == 0 or done == schedule.steps:
                around.save(done)
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
) -> Figures:
    """One outer step on its micro-batches: the objective, Eq. (9), then those of inner rounds, an update
    after each. Figures are means over the micro-batches; `passes` counts those of a micro-batch through any
    backbone, student's and teacher's alike.

    Decision: an inner round is one of the whole step. All micro-batches take it before the optimiser moves,
    as one large batch would; a micro-batch whose rounds have ended adds nothing to those that the others
    still take.
    """
    inner_rounds: list[Iterator[Terms]] = []
    measured: list[Figures] = []

    def objectives() -> Iterator[Terms]:
        for batch in batches:
            on_device = batch.to(device)
            with autocast(precision, device):
                terms = method.losses(on_device, step)
            yield terms
            inner_rounds.append(method.further_losses(on_device, step))
            measured.append(dict(method.measures))

    def next_of_each() -> Iterator[Terms]:
        """The next terms of every inner round that has any left, made one after another."""
        for ahead in inner_rounds:
            with autocast(precision, device):
                terms = next(ahead, None)
            if terms is not None:
                yield terms

    share = 1 / len(batches)
    with count_backbone_passes(method) as passes:
        figures = optimiser_step(optimiser, objectives(), share, step, max_grad_norm)
        updates = 1
        while optimiser_step(optimiser, next_of_each(), share, step, max_grad_norm):
            updates += 1
    method.after_step(step)
    cost = {"updates": float(updates), "passes": share * passes.count}
    return figures | cost | sum_figures(measured, share)


def optimiser_step(
    optimiser: torch.optim.Optimizer,
    objectives: Iterable[Terms],
    share: float,
    step: int,
    max_grad_norm: float,
) -> Figures:
    """One update of the optimiser along `share` times the sum of `objectives`; none where there are none.

    An objective's graph is gone before the next one is made, so that memory holds one micro-batch. Gives each
    term and their sum, times `share`, over all processes that train together, and the gradient's norm.
    """
    optimiser.zero_grad(set_to_none=True)
    parts = [backward(terms, share, step) for terms in objectives]
    if not parts:
        return {}
    parallel.all_reduce_gradients(trained(optimiser))
    norm = float(nn.utils.clip_grad_norm_(trained(optimiser), max_grad_norm or math.inf))
    require_finite(norm, "the norm of the gradient", step)
    optimiser.step()
    return reduce_figures(sum_figures(parts, share), device_of(optimiser)) | {"gradient_norm": norm}


def backward(terms: Terms, share: float, step: int) -> Figures:
    """Add `share` times the gradient of the sum of `terms` to the parameters'; the terms and their sum."""
    total = torch.stack(list(terms.values())).sum()
    figures = to_floats({**terms, "loss": total})
    for name, value in figures.items():
        require_finite(value, f"the loss {name}", step)
    (share * total).backward()
    return {"loss": figures["loss"]} | figures


def reduce_figures(figures: Figures, device: torch.device) -> Figures:
    """Each figure summed over the processes that train together: a term is a process's share, see losses."""
    values = torch.tensor(list(figures.values()), dtype=torch.float64, device=device)
    return dict(zip(figures, parallel.all_reduce_sum(values).tolist()))


def sum_figures(parts: Iterable[Figures], share: float) -> Figures:
    """`share` times the sum of each figure over `parts`; a part that lacks a figure counts as 0."""
    total: Figures = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, 0.0) + share * value
    return total


def require_finite(value: float, what: str, step: int) -> None:
    """Raises Lass3dError unless `value` is finite."""
    if not math.isfinite(value):
        raise Lass3dError(
            f"step {step}: {what} is {value}; the last checkpoint is from before it; "
            "a lower optim.peak_lr or optim.max_grad_norm=10 (--set) usually helps"
        )


def trained(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    """The parameters that `optimiser` updates."""
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def device_of(optimiser: torch.optim.Optimizer) -> torch.device:
    """Where the parameters are."""
    return trained(optimiser)[0].device


def step_seed(seed: int, step: int) -> int:
    """The seed of torch's draws in `step`: distinct for every (seed, step) below 2^31 steps."""
    return (seed << 31) + step
