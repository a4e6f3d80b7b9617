"""The teacher: an exponential moving average of the student. Eq. (1)."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def teacher_of(student: Network) -> Network:
    """Copy `student` into a teacher that no optimiser trains."""
    return copy.deepcopy(student).requires_grad_(False)


def alpha_at(step: int, alpha: float) -> float:
    """The weight of the old teacher after step 0, 1, 2, ...: min(alpha, 1 - 1/(step + 1)).

    Decision: Eq. (1) has a constant alpha. With the bound, the teacher of the first steps is the plain mean
    of the students so far, so it does not keep the random initialisation for 1/(1 - alpha) steps.
    """
    return min(alpha, 1.0 - 1.0 / (step + 1))


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, alpha: float, step: int) -> None:
    """teacher <- alpha_t * teacher + (1 - alpha_t) * student, in place, parameters alone. Eq. (1)."""
    weight = 1.0 - alpha_at(step, alpha)
    torch._foreach_lerp_(list(teacher.parameters()), list(student.parameters()), weight)


@torch.no_grad()
def update_buffers(teacher: nn.Module, student: nn.Module, alpha: float, step: int) -> None:
    """Average the buffers (batch-norm statistics) like the parameters; copy those that are counters.

    Decision: this is for a teacher that never runs in training mode. A teacher in training mode has running
    statistics of its features already. Averaging the student's into them would mix two networks.
    """
    pairs = list(zip(teacher.buffers(), student.buffers()))
    averaged = [pair for pair in pairs if pair[0].is_floating_point()]
    copied = [pair for pair in pairs if not pair[0].is_floating_point()]
    # One kernel for all buffers of a kind, not one for each.
    if averaged:
        torch._foreach_lerp_(*_columns(averaged), 1.0 - alpha_at(step, alpha))
    if copied:
        torch._foreach_copy_(*_columns(copied))


def _columns(pairs: list[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    """The tensors of the teacher and those of the student."""
    return [own for own, _ in pairs], [new for _, new in pairs]
