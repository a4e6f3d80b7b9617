"""Mean teachers are better role models (Tarvainen and Valpola, NeurIPS 2017), on point clouds.

    L = CE(f_s(x_l), y) + lambda MSE(softmax f_s(x), softmax f_t(x))
x_l: labelled points, x: all points. The teacher f_t is the moving average of the student f_s.
The paper raises lambda over the first 40 000 of up to 180 000 steps, here `ramp_steps`.
"""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat, NonNegativeInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from lass3d_core.paper import losses
from lass3d_core.settings import SETTINGS
from train.methods.contract import MethodConfig, SemiBatch
from train.methods.parts.branches import StudentAndTeacher
from train.methods.parts.noise import noisy
from train.methods.parts.ramp import ramp


@dataclass(frozen=True, config=SETTINGS)
class MeanTeacherConfig(MethodConfig):
    """alpha is 0.999, as in LASS3D and IGNet (LASS3D, Sec. 4.2). LaserMix's baseline has 0.99."""

    lambda_consistency: NonNegativeFloat = 250.0  # LaserMix's mean-teacher baseline on voxels
    ramp_steps: NonNegativeInt = 0  # steps over which that weight rises from 0; 0: none
    noise: NonNegativeFloat = 0.0  # of student and teacher, each its own: metres, and a share; 0: none


class MeanTeacher(StudentAndTeacher):
    """Cross-entropy on labelled points, consistency with the teacher on all points.

    The paper draws noise for each of them: `noise`, see parts/noise.py. Without it they see the same cloud,
    and consistency only keeps the student near its own average.
    """

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """ce_l, Eq. (7), and the consistency of student and teacher on all scans."""
        noise = self.config.noise
        student = self.student(noisy(batch.features, noise), batch.pyramid)
        with torch.no_grad():
            teacher = self.teacher(noisy(batch.features, noise), batch.pyramid)
        agreement = (student.argmax(1) == teacher.argmax(1)).float().mean()
        self.measures = {"labelled_points": batch.labelled_points, "agreement": agreement}
        weight = ramp(step, self.config.ramp_steps) * self.config.lambda_consistency
        return {
            "ce_l": losses.cross_entropy(student, batch.labels, self.class_weights),
            "consistency": weight * losses.consistency(student, teacher),
        }
