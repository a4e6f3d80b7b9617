"""LaserMix (Kong et al., CVPR 2023): bands of laser beams of two scans, exchanged, on voxels or range images.

    mix = bands of equal inclination, of a labelled and an unlabelled scan in turn: parts/band_mix.py
    L = CE(f_s(x_l), y) + CE(f_s(mix), y where labelled, pseudo-labels of the teacher where p >= 0.9)
        + lambda MSE(softmax f_s(x), softmax f_t(x)), on labelled and unlabelled points
The teacher is the moving average of the student. The values are those of the authors' configuration of
MinkUNet18; that of Cylinder3D, in brackets where it differs, adds a Lovász loss of weight 3 to both
cross-entropies.

With net.view=range the same voxels are exchanged and then seen as range images: where net.image.pitch_deg is
this pitch_deg, a band is an m-th of the image's rows, as in the authors' range view. They publish no
configuration of that, so alpha, tau, areas and the weights are those of voxels.

It is a method for spinning LiDAR, whose frame starts at the sensor. Where coordinates start at a corner of
the scan, as in rooms, nearly everything lies in the topmost band, and next to nothing is exchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lass3d_core.labels import IGNORE
from lass3d_core.paper import ema, losses
from lass3d_core.paper.exploitation import ExploitationConfig, exploitation
from lass3d_core.sparse.maps import build_pyramid
from train.methods.contract import Ingredients, SemiBatch
from train.methods.parts.band_mix import SEMANTICKITTI_PITCH_DEG, check_bands, mixed, pairs_of


@dataclass(frozen=True)
class LaserMixConfig:
    """areas: numbers of bands, one of which is drawn. pitch_deg: lowest and highest inclination."""

    alpha: float = 0.99  # horizon of the teacher
    tau: float = 0.9  # least confidence of a pseudo-label
    areas: tuple[int, ...] = (3, 4, 5, 6)  # [4, 5, 6, 7, 8]
    pitch_deg: tuple[float, float] = SEMANTICKITTI_PITCH_DEG
    lambda_mix: float = 1.0
    lambda_consistency: float = 200.0  # [250], mean over points and classes
    lambda_lovasz: float = 0.0  # [3], 0 = off
    seed: int = 0  # of the numbers of bands
    pe: ExploitationConfig = field(default_factory=ExploitationConfig)  # on doubted points; not the paper's

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < 1:
            raise ValueError(f"alpha must lie in [0, 1), got {self.alpha}")
        if not 0 <= self.tau <= 1:
            raise ValueError(f"tau must lie in [0, 1], got {self.tau}")
        check_bands(self.areas, self.pitch_deg)
        for name in ("lambda_mix", "lambda_consistency", "lambda_lovasz", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


class LaserMix(nn.Module):
    """Decisions. The teacher runs in training mode and keeps running statistics of its own (see
    ema.update_buffers). Labelled and unlabelled scans are normalised together, mixed ones by themselves.
    What is mixed with what: train/methods/parts/band_mix.py.
    """

    def __init__(self, config: LaserMixConfig, ingredients: Ingredients) -> None:
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
        """ce_l, ce_mix, consistency; lovasz and pe where they are switched on."""
        student = self.student(batch.features, batch.pyramid)
        with torch.no_grad():
            teacher = self.teacher(batch.features, batch.pyramid)
        confidence, pseudo_labels = teacher.softmax(dim=1).max(dim=1)
        reliable = confidence >= self.config.tau
        mixed_logits, rows = self._mixed(batch, step)
        labels = torch.where(batch.is_labelled, batch.labels, pseudo_labels.masked_fill(~reliable, IGNORE))
        mixed_labels = labels[rows]
        unlabelled = ~batch.is_labelled
        self.measures = {
            "labelled_points": float((batch.labels != IGNORE).sum()),
            "mixed_points": float((mixed_labels != IGNORE).sum()),
            "reliable_share": float(reliable[unlabelled].float().mean()) if unlabelled.any() else 0.0,
        }
        ce_mix = losses.cross_entropy(mixed_logits, mixed_labels, self.class_weights)
        terms = {
            "ce_l": losses.cross_entropy(student, batch.labels, self.class_weights),
            "ce_mix": self.config.lambda_mix * ce_mix,
            "consistency": self.config.lambda_consistency * losses.consistency(student, teacher),
        }
        if self.config.lambda_lovasz:
            of_labelled = losses.lovasz_softmax(student, batch.labels)
            of_mixed = self.config.lambda_mix * losses.lovasz_softmax(mixed_logits, mixed_labels)
            terms["lovasz"] = self.config.lambda_lovasz * (of_labelled + of_mixed)
        if self.config.pe.weight:
            terms["pe"] = exploitation(student[unlabelled], reliable[unlabelled], self.config.pe)
        return terms

    def further_losses(self, batch: SemiBatch, step: int) -> Iterator[dict[str, Tensor]]:
        """None."""
        return iter(())

    def after_step(self, step: int) -> None:
        """The teacher follows the student, parameters only."""
        ema.update_teacher(self.teacher, self.student, self.config.alpha, step)

    def _mixed(self, batch: SemiBatch, step: int) -> tuple[Tensor, Tensor]:
        """The student's logits (K,C) of the mixed scans, and the batch's rows (K,) that they are made of."""
        config, coords = self.config, batch.pyramid.coords[0]
        pair, areas = pairs_of(batch.scan, batch.is_labelled, config.areas, config.seed, step)
        mix = mixed(coords, pair, areas, batch.is_labelled, config.pitch_deg)
        pyramid = build_pyramid(mix.coords, batch.pyramid.levels)
        return self.student(batch.features[mix.rows], pyramid), mix.rows
