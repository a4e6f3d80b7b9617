"""LaserMix (Kong et al., CVPR 2023): bands of laser beams of two scans, exchanged, on voxels or range images.

    mix = bands of equal inclination, of a labelled and an unlabelled scan in turn: parts/band_mix.py
    L = CE(f_s(x_l), y) + CE(f_s(mix), y where labelled, else pseudo-labels of the teacher with p >= 0.9)
        + lambda MSE(softmax f_s(x), softmax f_t(x)), on labelled and unlabelled points
The teacher is the moving average of the student. The values are the authors' configuration of MinkUNet18.
Values in brackets are their configuration of Cylinder3D, if it differs. It also adds a Lovász loss of weight
3 to both cross-entropies. All their weights are constant. With `ramp_steps` what needs the teacher rises
together: ce_mix, consistency, pe, and the mixed scans' part of the Lovász loss.

With net.view=range the same voxels are exchanged and then seen as range images. If net.image.pitch_deg equals
this pitch_deg, one of m bands is an m-th of the image's rows, as in the authors' range view. They publish no
configuration of the range view, so alpha, tau, areas and the weights are the values for voxels.

The method is made for spinning LiDAR, whose frame starts at the sensor. If coordinates start at a corner of
the scan, as in rooms, nearly all points lie in the topmost band, and next to nothing is exchanged.
"""

from __future__ import annotations

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from lass3d_core.labels import IGNORE
from lass3d_core.paper import losses
from lass3d_core.paper.exploitation import ExploitationConfig, exploitation_loss
from lass3d_core.settings import SETTINGS
from train.methods.contract import MethodConfig, SemiBatch, Share
from train.methods.parts.band_mix import SEMANTICKITTI_PITCH_DEG, check_bands, mixed_scans
from train.methods.parts.branches import StudentAndTeacher
from train.methods.parts.ramp import ramp


@dataclass(frozen=True, config=SETTINGS)
class LaserMixConfig(MethodConfig):
    """areas: numbers of bands, one of which is drawn. pitch_deg: lowest and highest inclination."""

    alpha: float = Field(default=0.99, ge=0, lt=1)  # horizon of the teacher
    tau: Share = 0.9  # least confidence of a pseudo-label
    areas: tuple[int, ...] = (3, 4, 5, 6)  # [4, 5, 6, 7, 8]
    pitch_deg: tuple[float, float] = SEMANTICKITTI_PITCH_DEG
    lambda_mix: NonNegativeFloat = 1.0
    lambda_consistency: NonNegativeFloat = 200.0  # [250], mean over points and classes
    lambda_lovasz: NonNegativeFloat = 0.0  # [3]; 0: off
    ramp_steps: NonNegativeInt = 0  # steps over which the teacher's terms rise from 0; 0: none, as theirs
    seed: NonNegativeInt = 0  # of the numbers of bands
    pe: ExploitationConfig = ExploitationConfig()  # on points below tau; not in the paper; off

    def __post_init__(self) -> None:
        check_bands(self.areas, self.pitch_deg)


class LaserMix(StudentAndTeacher):
    """Batch norm sees mixed scans by themselves, as in the authors' code.

    Decision: a mixed scan is one mean over labels and pseudo-labels. The rule for pseudo-labels weighs both.

    What is mixed with what: train/methods/parts/band_mix.py.
    """

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """ce_l, ce_mix, consistency; lovasz and pe where they are switched on."""
        student = self.student(batch.features, batch.pyramid)
        with torch.no_grad():
            teacher = self.teacher(batch.features, batch.pyramid)
        confidence, pseudo_labels = teacher.softmax(dim=1).max(dim=1)
        reliable = confidence >= self.config.tau
        rows, features, pyramid = mixed_scans(batch, self.config, step)
        mixed_logits = self.student(features, pyramid)
        labels = torch.where(batch.is_labelled, batch.labels, pseudo_labels.masked_fill(~reliable, IGNORE))
        mixed_labels = labels[rows]
        unlabelled = batch.unlabelled
        of_unlabelled = reliable[unlabelled]
        self.measures = {
            "labelled_points": batch.labelled_points,
            "mixed_points": (mixed_labels != IGNORE).sum(),
            "reliable_share": of_unlabelled.sum() / max(len(of_unlabelled), 1),
        }
        risen = ramp(step, self.config.ramp_steps)
        lambda_mix = risen * self.config.lambda_mix
        ce_mix = losses.cross_entropy(mixed_logits, mixed_labels, self.pseudo_label_weights)
        terms = {
            "ce_l": losses.cross_entropy(student, batch.labels, self.class_weights),
            "ce_mix": lambda_mix * ce_mix,
            "consistency": risen * self.config.lambda_consistency * losses.consistency(student, teacher),
        }
        if self.config.lambda_lovasz:
            of_labelled = losses.lovasz_softmax(student[batch.labelled], batch.labels[batch.labelled])
            of_mixed = lambda_mix * losses.lovasz_softmax(mixed_logits, mixed_labels)
            terms["lovasz"] = self.config.lambda_lovasz * (of_labelled + of_mixed)
        if self.config.pe.weight:
            terms["pe"] = risen * exploitation_loss(student[unlabelled], of_unlabelled, self.config.pe)
        return terms
