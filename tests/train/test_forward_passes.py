from __future__ import annotations

import torch
from torch import Tensor, nn

from lass3d_core.paper import ema
from train.loop import count_backbone_passes


class Backbone(nn.Module):
    """What the interface of lass3d_core.nets asks for, and a layer that has only half of it."""

    out_channels, levels = 2, 1

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv1d(1, 2, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features)


def test_passes_of_student_and_teacher_are_counted_and_nothing_else() -> None:
    student = Backbone()
    method = nn.ModuleDict({"student": student, "teacher": ema.teacher_of(student), "head": nn.Linear(3, 1)})
    features = torch.zeros(1, 1, 3)
    with count_backbone_passes(method) as passes:
        for name in ("student", "student", "teacher"):
            method[name](features)
        method["head"](features)
    assert len(passes) == 3


def test_after_the_block_nothing_is_counted() -> None:
    backbone = Backbone()
    with count_backbone_passes(backbone) as passes:
        pass
    backbone(torch.zeros(1, 1, 3))
    assert not passes
    assert not backbone._forward_hooks
