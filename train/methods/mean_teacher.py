"""Mean teachers are better role models (Tarvainen and Valpola, NeurIPS 2017), on point clouds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lass3d_core.labels import IGNORE
from lass3d_core.paper import ema, losses
from train.methods.contract import Ingredients, SemiBatch


@dataclass(frozen=True)
class MeanTeacherConfig:
    """alpha: horizon of the teacher. lambda_consistency: weight of the consistency term."""

    alpha: float = 0.999  # as LASS3D and IGNet (LASS3D Sec. 4.2); LaserMix's baseline has 0.99
    lambda_consistency: float = (
        250.0  # LaserMix's mean-teacher baseline on voxels, mean over points and classes
    )

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < 1:
            raise ValueError(f"alpha must lie in [0, 1), got {self.alpha}")
        if self.lambda_consistency < 0:
            raise ValueError(f"lambda_consistency must not be negative, got {self.lambda_consistency}")


class MeanTeacher(nn.Module):
    """Cross-entropy on labelled points, consistency with the averaged teacher on all points.

    The teacher runs in training mode and keeps running statistics of its own; see ema.update_buffers.
    """

    def __init__(self, config: MeanTeacherConfig, ingredients: Ingredients) -> None:
        super().__init__()
        self.config = config
        self.student = ingredients.make_segmenter()
        self.teacher = ema.teacher_of(self.student)
        self.register_buffer("class_weights", ingredients.class_weights, persistent=False)
        self.measures: dict[str, float] = {}

    @property
    def predictor(self) -> nn.Module:
        """The teacher."""
        return self.teacher

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """ce_l and consistency."""
        student = self.student(batch.features, batch.pyramid)
        with torch.no_grad():
            teacher = self.teacher(batch.features, batch.pyramid)
        self.measures = {
            "labelled_points": float((batch.labels != IGNORE).sum()),
            "agreement": float((student.argmax(1) == teacher.argmax(1)).float().mean()),
        }
        return {
            "ce_l": losses.cross_entropy(student, batch.labels, self.class_weights),
            "consistency": self.config.lambda_consistency * losses.consistency(student, teacher),
        }

    def further_losses(self, batch: SemiBatch, step: int) -> Iterator[dict[str, Tensor]]:
        """None."""
        return iter(())

    def after_step(self, step: int) -> None:
        """Eq. (1) of LASS3D, parameters only."""
        ema.update_teacher(self.teacher, self.student, self.config.alpha, step)
