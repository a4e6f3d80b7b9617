"""The training loop.

Every draw of step t derives from (seed, t), so a run that is stopped and resumed is the run that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lass3d_core.errors import Lass3dError
from train.config import RunConfig
from train.methods.contract import Method, SemiBatch
from train.optimiser import learning_rate, set_rate

Figures = dict[str, float]


@dataclass(frozen=True)
class Surroundings:
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
    around: Surroundings,
) -> None:
    """Take the steps steps_done, ..., steps - 1, whose batches `batches` yields in this order.

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
    )
    shown: dict[str, str] = {}
    method.train()
    with bar:
        started = time.perf_counter()
        for step, batch in zip(range(steps_done, schedule.steps), batches):
            waited = time.perf_counter() - started
            torch.manual_seed(step_seed(config.seed, step))
            rate = learning_rate(config.optim, schedule, step)
            set_rate(optimiser, rate)
            figures = take_step(method, optimiser, batch.to(device), step, config.optim.max_grad_norm)
            figures |= {"rate": rate, "seconds": time.perf_counter() - started, "seconds_waiting": waited}
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
    method: Method, optimiser: torch.optim.Optimizer, batch: SemiBatch, step: int, max_grad_norm: float
) -> Figures:
    """One outer step: the objective, Eq. (9), then those of inner rounds, an update after each."""
    figures = update(method, optimiser, method.losses(batch, step), step, max_grad_norm)
    updates = 1
    for terms in method.further_losses(batch, step):
        update(method, optimiser, terms, step, max_grad_norm)
        updates += 1
    method.after_step(step)
    return figures | {"updates": float(updates)} | method.measures


def update(
    method: Method,
    optimiser: torch.optim.Optimizer,
    terms: dict[str, Tensor],
    step: int,
    max_grad_norm: float,
) -> Figures:
    """One update of the optimiser along the sum of `terms`; each term, their sum and the gradient's norm."""
    figures = {name: float(term.detach()) for name, term in terms.items()}
    for name, value in figures.items():
        require_finite(value, f"the loss {name}", step)
    total = torch.stack(list(terms.values())).sum()
    optimiser.zero_grad(set_to_none=True)
    total.backward()
    norm = float(nn.utils.clip_grad_norm_(trained(optimiser), max_grad_norm or math.inf))
    require_finite(norm, "the norm of the gradient", step)
    optimiser.step()
    return {"loss": float(total.detach())} | figures | {"gradient_norm": norm}


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


def step_seed(seed: int, step: int) -> int:
    """The seed of torch's draws in `step`: distinct for every (seed, step) below 2^31 steps."""
    return (seed << 31) + step
