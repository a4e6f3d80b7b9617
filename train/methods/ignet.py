"""IGNet, "2D feature distillation" (Unal et al., WACV 2024), approximate: images guide a mean teacher.

    L = CE(labelled) + lambda_kl KL(p_t || p_s) on points without label + lambda_image L_image
    L_image = mean over points i with a pixel of
        -1/|P_i| sum_{g in P_i} log exp(z_i . g / tau) / sum_{g'} exp(z_i . g' / tau)
    and the same on mixed scans
z_i: the student's projected feature, of unit length. g: features of a frozen 2D network, so the contrast only
moves the points. P_i: the g whose class is the point's. FOVMix cuts the camera's field of view out of one
scan, a wedge about the sensor, and puts it into another scan at another azimuth. The camera sees only a part
of the horizon; so image guidance spreads over all of it. alpha = 0.999 (LASS3D, Sec. 4.2). Only training
needs images.

There is no public code. This is built from the abstract and from what LASS3D says about it. Guessed:
- The 2D network. The paper trains one on synthetic images, adapts it to real ones, and takes its features and
  its pseudo-labels at a point's pixel. Pair shards hold no pixels, but they hold the phrase that 2D models
  gave the pixel. The text embedding of the phrase is the feature g. Its class is the one that it is on most
  often in the labelled scans. A phrase that is on no labelled point guides nothing.
- The class of a point is its label, or without a label the class of its phrase.
- Each phrase of the batch counts once among the g, however many pixels it covers.
- All values except alpha, and that the projector is a multi-layer perceptron.
- FOVMix: the wedge has a fixed angle about the mean azimuth of the points that have a phrase. It turns by one
  to three quarter turns, which map the voxel lattice to itself. The n-th labelled scan of a batch is mixed
  with the n-th unlabelled one, both ways. Mixed scans come beside the others, as in LaserMix. Their targets
  come from the scans that they are made of.
- CE and KL are separate means. There is no Lovász term. Student and teacher see one cloud.
- The ramp: with `ramp_steps` the consistency rises from 0, on scans and on mixed scans. The image's features
  and the phrases' classes are fixed from the first step on, so guidance does not.
The method is made for scans about a sensor. If cameras look all around, the wedge is one of many views.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from lass3d_core.compute import parallel
from lass3d_core.compute.precision import to_float32
from lass3d_core.labels import IGNORE
from lass3d_core.paper import losses
from lass3d_core.records import NONE
from lass3d_core.settings import SETTINGS
from lass3d_core.sparse.maps import build_pyramid
from train.methods.contract import Ingredients, MethodConfig, SemiBatch, channels_of
from train.methods.parts.branches import StudentAndTeacher
from train.methods.parts.crops import Crop, crop_of, quarter_turned
from train.methods.parts.ramp import ramp


@dataclass(frozen=True, config=SETTINGS)
class IgnetConfig(MethodConfig):
    """lambda_mix: of all terms on mixed scans. fov_deg: angle of the wedge that FOVMix moves."""

    lambda_consistency: NonNegativeFloat = 1.0  # guessed: as LiM3D, whose pipeline is IGNet's
    ramp_steps: NonNegativeInt = 0  # steps over which that weight rises from 0; 0: none
    lambda_image: NonNegativeFloat = 0.1  # guessed: as GPC's contrast
    temperature: PositiveFloat = 0.1  # guessed: as GPC's contrast
    lambda_mix: NonNegativeFloat = 1.0  # guessed: as LaserMix; 0 = no FOVMix
    fov_deg: float = Field(default=80.0, gt=0, le=360)  # KITTI's camera: 2 atan(1242 / 2 / 721)
    seed: NonNegativeInt = 0  # of the turns of FOVMix

    @property
    def reads_text(self) -> bool:
        """Always: its image features are text rows."""
        return True


class Ignet(StudentAndTeacher):
    """Decision: batch norm sees mixed scans by themselves."""

    phrase_rows: Tensor
    phrase_class: Tensor

    def __init__(self, config: IgnetConfig, ingredients: Ingredients) -> None:
        super().__init__(config, ingredients)
        channels = channels_of(self.student.backbone)
        enter, leave = nn.Linear(channels, channels), nn.Linear(channels, ingredients.text_dim)
        self.projector = nn.Sequential(enter, nn.ReLU(), leave)
        rows, classes = _phrases(ingredients)
        self.register_buffer("phrase_rows", rows, persistent=False)
        self.register_buffer("phrase_class", classes, persistent=False)

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """ce_l, consistency, image; with FOVMix also mix, their sum on the mixed scans."""
        with torch.no_grad():
            teacher = self.teacher(batch.features, batch.pyramid)
        phrases = self._phrases_of(batch)
        features = self.student.backbone(batch.features, batch.pyramid)
        rows = torch.arange(len(features), device=features.device)
        weight = ramp(step, self.config.ramp_steps) * self.config.lambda_consistency
        terms = self._terms(features, rows, batch, teacher, phrases, weight)
        self.measures = {
            "labelled_points": batch.labelled_points,
            "image_share": (batch.phrase != NONE).float().mean(),
            "phrases": float(len(phrases)),
        }
        if self.config.lambda_mix:
            cloud = self._mixed(batch, step)
            mixed = self.student.backbone(cloud.features, build_pyramid(cloud.coords, batch.pyramid.levels))
            of_mixed = self._terms(mixed, cloud.rows, batch, teacher, phrases, weight)
            terms["mix"] = self.config.lambda_mix * torch.stack(list(of_mixed.values())).sum()
            self.measures["mixed_points"] = float(len(cloud.rows))
        return terms

    def _terms(
        self,
        features: Tensor,
        rows: Tensor,
        batch: SemiBatch,
        teacher: Tensor,
        phrases: Tensor,
        weight: float,
    ) -> dict[str, Tensor]:
        """The terms on some voxels of the batch.

        features (K,F) of the voxels `rows` (K,). teacher (M,C): its logits. phrases (R,): see `_phrases_of`.
        weight: of the consistency.
        """
        logits = self.student.classifier(features)
        labels, phrase = batch.labels[rows], batch.phrase[rows]
        without = labels == IGNORE
        divergence = losses.feature_kl(teacher[rows], logits, without)  # a softmax over classes
        paired = phrase != NONE
        classes = torch.where(without, self.phrase_class[phrase], labels)[paired]
        projected = F.normalize(to_float32(self.projector(features[paired])), dim=1)
        pixels, of_class = self.phrase_rows[phrases], self.phrase_class[phrases]
        guidance = one_way_contrast(projected, classes, pixels, of_class, self.config.temperature)
        return {
            "ce_l": losses.cross_entropy(logits, labels, self.class_weights),
            "consistency": weight * divergence,
            "image": self.config.lambda_image * guidance,
        }

    def _phrases_of(self, batch: SemiBatch) -> Tensor:
        """The rows (R,) of the phrases that occur in the batch, in any process, and have a class."""
        here = batch.phrase[batch.phrase != NONE].unique()
        phrases = parallel.rows_of_all(here).unique()
        return phrases[self.phrase_class[phrases] != IGNORE]

    def _mixed(self, batch: SemiBatch, step: int) -> Crop:
        """The mixed scans as one cloud. Its `rows`: the voxel of the batch that each of its voxels shows."""
        clouds = [crop_of(batch, slice(0))]
        scans = batch.counts.rows
        for number, (labelled, unlabelled) in enumerate(batch.counts.pairs):
            # Seeded by the scan's slot: processes that share a batch draw the same turns as one process.
            rng = np.random.default_rng((self.config.seed, step, labelled))
            for side, (into, of) in enumerate(((labelled, unlabelled), (unlabelled, labelled))):
                turns = int(rng.integers(1, 4))
                whole, seen = (crop_of(batch, scans[slot]) for slot in (into, of))
                view = batch.phrase[seen.rows] != NONE
                cloud = fov_mix(whole, seen, view, turns, math.radians(self.config.fov_deg))
                cloud.coords[:, 0] = 2 * number + side
                clouds.append(cloud)
        return Crop.concat(clouds)


def _phrases(ingredients: Ingredients) -> tuple[Tensor, Tensor]:
    """The unit text embedding (P+1,D) of each phrase, and the class (P+1,) that it is on most often, or 255.

    The last row stands for NONE, no phrase.
    """
    if ingredients.phrase_counts is None:
        return torch.zeros(1, ingredients.text_dim), torch.tensor([IGNORE])
    phrases = ingredients.phrase_counts()
    most, named = phrases.counts.sum(dim=0).max(dim=1)
    rows = F.pad(F.normalize(phrases.rows, dim=1), (0, 0, 0, 1))
    return rows, F.pad(named.masked_fill(most == 0, IGNORE), (0, 1), value=IGNORE)


def one_way_contrast(
    points: Tensor, classes: Tensor, pixels: Tensor, of_class: Tensor, temperature: float
) -> Tensor:
    """L_image: this process's share of the mean over the points that have a pixel of their class.

    points (N,D) of classes (N,), pixels (R,D) of classes of_class (R,); all rows have unit length.
    """
    positive = classes.unsqueeze(1) == of_class
    counts = positive.sum(dim=1)
    counted = counts > 0
    log_share = (points[counted] @ pixels.detach().T / temperature).log_softmax(dim=1)
    total = -((log_share * positive[counted]).sum(dim=1) / counts[counted]).sum()
    return losses.share_of_mean(total, len(log_share))


def fov_mix(into: Crop, of: Crop, view: Tensor, turns: int, angle: float) -> Crop:
    """Replace a wedge of scan `into` by the camera's wedge of scan `of`, after `turns` quarter turns.

    view (K,) bool: voxels of `of` that a camera sees. The wedge spans `angle` radians about their mean
    azimuth. If there is none, the result is empty.
    """
    if not view.any():
        return of.at(view)
    azimuth = _azimuth(of.coords[view])
    centre = torch.atan2(azimuth.sin().sum(), azimuth.cos().sum())
    # One test on one lattice cuts both scans, so no voxel occurs twice.
    taken, replaced = (_within(scan.coords, centre, angle) for scan in (of, quarter_turned(into, -turns)))
    return Crop.concat([into.at(~replaced), quarter_turned(of.at(taken), turns)])


def _azimuth(coords: Tensor) -> Tensor:
    """The azimuth (N,) float64, in radians, of the centres of voxels coords (N,4)."""
    return torch.atan2(coords[:, 2].double() + 0.5, coords[:, 1].double() + 0.5)


def _within(coords: Tensor, centre: Tensor, angle: float) -> Tensor:
    away = _azimuth(coords) - centre
    return torch.atan2(away.sin(), away.cos()).abs() <= angle / 2
