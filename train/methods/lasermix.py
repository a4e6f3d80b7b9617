"""LaserMix (Kong et al., CVPR 2023): bands of laser beams of two scans, exchanged, on voxels or range images.

    inclination phi = atan2(z, sqrt(x^2 + y^2)), clamped to [-25, 3] degrees
    m bands of equal angle, m drawn from `areas` for every pair of a labelled and an unlabelled scan
    mix 1 = even bands of the labelled scan + odd bands of the unlabelled one, mix 2 = the other halves
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

import numpy as np
import torch
from torch import Tensor, nn

from lass3d_core import ema, losses
from lass3d_core.exploitation import ExploitationConfig, exploitation
from lass3d_core.labels import IGNORE
from lass3d_core.sparse.maps import build_pyramid
from train.methods.contract import Ingredients, SemiBatch


@dataclass(frozen=True)
class LaserMixConfig:
    """areas: numbers of bands, one of which is drawn. pitch_deg: lowest and highest inclination."""

    alpha: float = 0.99  # horizon of the teacher
    tau: float = 0.9  # least confidence of a pseudo-label
    areas: tuple[int, ...] = (3, 4, 5, 6)  # [4, 5, 6, 7, 8]
    pitch_deg: tuple[float, float] = (-25.0, 3.0)  # SemanticKITTI's sensor
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
        if not self.areas or min(self.areas) < 1:
            raise ValueError(f"areas must be numbers of at least 1, got {self.areas}")
        if not -90 <= self.pitch_deg[0] < self.pitch_deg[1] <= 90:
            raise ValueError(f"pitch_deg must rise within [-90, 90], got {self.pitch_deg}")
        for name in ("lambda_mix", "lambda_consistency", "lambda_lovasz", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


class LaserMix(nn.Module):
    """Decisions. The n-th labelled scan of a batch is mixed with its n-th unlabelled one; a scan without a
    partner is not mixed. The teacher runs in training mode and keeps running statistics of its own (see
    ema.update_buffers). Labelled and unlabelled scans are normalised together, mixed ones by themselves.
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
        """The student's logits (K,C) of the mixed scans, and the batch's rows (K,) that they are made of.

        A voxel is in one of the two mixes of its pair: mixing is giving the voxels other scan numbers.
        """
        pair, areas = self._pairs(batch, step)
        coords = batch.pyramid.coords[0]
        rows = (pair >= 0).nonzero().squeeze(1)
        odd = bands(coords[rows], areas[pair[rows]], self.config.pitch_deg) % 2 == 1
        in_second = odd == batch.is_labelled[rows]
        mixed_coords = torch.cat([(2 * pair[rows] + in_second).int().unsqueeze(1), coords[rows, 1:]], dim=1)
        pyramid = build_pyramid(mixed_coords, batch.pyramid.levels)
        return self.student(batch.features[rows], pyramid), rows

    def _pairs(self, batch: SemiBatch, step: int) -> tuple[Tensor, Tensor]:
        """The pair of each voxel (M,) int64, -1 none; the number of bands of each pair (P,) int64.

        The draw hangs on the slot of the labelled scan: processes that share a batch draw as one does.
        """
        pair = torch.full_like(batch.scan, -1)
        slots = [batch.scan[kind].unique().tolist() for kind in (batch.is_labelled, ~batch.is_labelled)]
        areas = []
        for number, (labelled, unlabelled) in enumerate(zip(*slots)):
            pair[(batch.scan == labelled) | (batch.scan == unlabelled)] = number
            rng = np.random.default_rng((self.config.seed, step, labelled))
            areas.append(int(rng.choice(self.config.areas)))
        return pair, torch.tensor(areas, dtype=torch.int64, device=pair.device)


def bands(coords: Tensor, areas: Tensor, pitch_deg: tuple[float, float]) -> Tensor:
    """The band (N,) int64 of voxels coords (N,4), where a voxel's scan has areas (N,); band 0 is topmost.

    Decision: the inclination is that of the voxel's centre. It hangs on the place alone, so that two scans
    never bring the same voxel into one mix, and as a ratio it needs no voxel size.
    """
    x, y, z = (coords[:, 1:].double() + 0.5).unbind(dim=1)
    inclination = torch.rad2deg(torch.atan2(z, torch.hypot(x, y)))
    low, high = pitch_deg
    share = (high - inclination) / (high - low)
    return (share * areas).floor().long().clamp(min=0).minimum(areas - 1)
