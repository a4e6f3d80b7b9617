from __future__ import annotations

import pytest
import torch
from torch import nn

from lass3d_core.compute.launches import KernelCount
from lass3d_core.paper import ema


def test_teacher_begins_as_an_untrained_copy() -> None:
    student = nn.Linear(2, 2)
    teacher = ema.teacher_of(student)
    assert torch.equal(teacher.weight, student.weight) and teacher.weight is not student.weight
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_first_steps_are_the_mean_of_the_students() -> None:
    student = nn.Linear(1, 1, bias=False)
    teacher = ema.teacher_of(student)
    for step, value in enumerate([2.0, 4.0, 9.0]):
        student.weight.data.fill_(value)
        ema.update_teacher(teacher, student, 0.999, step)
    assert teacher.weight.item() == pytest.approx((2 + 4 + 9) / 3)


def test_alpha_bounds_the_mean() -> None:
    assert ema.alpha_at(0, 0.999) == 0
    assert ema.alpha_at(9, 0.999) == pytest.approx(0.9)
    assert ema.alpha_at(9, 0.8) == 0.8
    assert ema.alpha_at(1_000_000, 0.999) == 0.999


def test_update_leaves_student_and_statistics_alone() -> None:
    student = nn.BatchNorm1d(2)
    teacher = ema.teacher_of(student)
    student(torch.randn(5, 2) + 3)
    student.weight.data.fill_(2.0)
    ema.update_teacher(teacher, student, 0.5, step=10)
    assert student.weight.tolist() == [2, 2] and teacher.weight.tolist() == [1.5, 1.5]
    assert teacher.running_mean.tolist() == [0, 0]


def test_all_parameters_and_all_buffers_take_three_launches() -> None:
    student = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(3), nn.Linear(3, 1))
    teacher = ema.teacher_of(student)
    with KernelCount() as count:
        ema.update_teacher(teacher, student, 0.75, step=10)
        ema.update_buffers(teacher, student, 0.75, step=10)
    assert count.launches_of == {"_foreach_lerp_": 2, "_foreach_copy_": 1}


def test_a_network_without_buffers_has_none_to_update() -> None:
    student = nn.Linear(2, 2)
    ema.update_buffers(ema.teacher_of(student), student, 0.75, step=10)


def test_statistics_are_averaged_and_counters_copied() -> None:
    student = nn.BatchNorm1d(2)
    teacher = ema.teacher_of(student)
    student.running_mean.fill_(4.0)
    student.num_batches_tracked.fill_(7)
    ema.update_buffers(teacher, student, 0.75, step=10)
    assert teacher.running_mean.tolist() == [1, 1] and teacher.num_batches_tracked.item() == 7
