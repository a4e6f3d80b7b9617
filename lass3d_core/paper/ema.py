"""The teacher as an exponential moving average of the student. Eq. (1)."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def teacher_of(student: Network) -> Network:
    """A copy of `student` that no optimiser trains."""
    return copy.deepcopy(student).requires_grad_(False)


def alpha_at(step: int, alpha: float) -> float:
    """The weight of the teacher's past after step 0, 1, 2, ...: min(alpha, 1 - 1/(step + 1)).

    Decision: Eq. (1) has a constant alpha; the bound makes the first steps a plain mean of the students, so
    that the random initialisation does not linger for 1/(1 - alpha) steps.
    """
    return min(alpha, 1.0 - 1.0 / (step + 1))


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, alpha: float, step: int) -> None:
    """teacher <- alpha_t * teacher + (1 - alpha_t) * student, parameters in place. Eq. (1)."""
    weight = 1.0 - alpha_at(step, alpha)
    torch._foreach_lerp_(list(teacher.parameters()), list(student.parameters()), weight)


@torch.no_grad()
def update_buffers(teacher: nn.Module, student: nn.Module, alpha: float, step: int) -> None:
    """The same for the buffers (batch-norm statistics): averages where floating, copies of counters.

    Decision: for a teacher that never runs in training mode. One that does keeps running statistics of its
    own, which are those of its own features; averaging the student's into them would mix two networks.
    """
    weight = 1.0 - alpha_at(step, alpha)
    for own, new in zip(teacher.buffers(), student.buffers()):
        if own.is_floating_point():
            own.lerp_(new, weight)
        else:
            own.copy_(new)
