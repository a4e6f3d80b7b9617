"""A method: where the teacher is sure, the student learns all its probabilities, not the top class alone."""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat
from pydantic.dataclasses import dataclass
from torch import Tensor

from lass3d_core.paper import losses
from lass3d_core.settings import SETTINGS
from train.methods.contract import MethodConfig, SemiBatch, Share
from train.methods.parts.branches import StudentAndTeacher


@dataclass(frozen=True, config=SETTINGS)
class SoftLabelsConfig(MethodConfig):
    weight: NonNegativeFloat = 1.0  # of the unlabelled points
    tau: Share = 0.9  # least probability of the teacher's class


class SoftLabels(StudentAndTeacher):
    """Cross-entropy with labels, and towards the teacher's probabilities where one of them reaches tau."""

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        logits = self.student(batch.features, batch.pyramid)
        with torch.no_grad():
            teacher = self.teacher(batch.features, batch.pyramid)[batch.unlabelled].softmax(dim=1)
        is_sure = teacher.amax(dim=1) >= self.config.tau
        of_point = -(teacher * logits[batch.unlabelled].log_softmax(dim=1)).sum(dim=1)
        soft = losses.share_of_mean((of_point * is_sure).sum(), is_sure.sum())
        self.measures = {"labelled_points": batch.labelled_points, "sure_points": is_sure.sum()}
        return {
            "ce_l": losses.cross_entropy(logits, batch.labels, self.class_weights),
            "soft": self.config.weight * soft,
        }


METHOD = (SoftLabelsConfig, SoftLabels)
