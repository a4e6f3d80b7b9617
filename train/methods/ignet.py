"""IGNet, "2D feature distillation" (Unal et al., WACV 2024), approximate: images guide a mean teacher.

    L = CE(labelled) + lambda_kl KL(p_t || p_s) on points without label + lambda_image L_image
    L_image = mean over points i with a pixel of
        -1/|P_i| sum_{g in P_i} log exp(z_i . g / tau) / sum_{g'} exp(z_i . g' / tau)
    and the same on mixed scans
z_i: the student's projected feature, of unit length. g: features of a 2D network, frozen: the contrast is
one-way, from image to points. P_i: those g whose class is the point's. FOVMix puts the camera's field of view
of one scan, a wedge about the sensor, into another scan at another azimuth, in place of what is there: the
camera sees but a part of the horizon, and so image guidance spreads over all of it. alpha = 0.999 (LASS3D,
Sec. 4.2). Images are needed in training alone.

There is no public code, and this is built from the abstract and from what LASS3D says of it. Guessed:
- The 2D network. The paper trains one on synthetic images, adapts it to real ones, and takes its features and
  its pseudo-labels at a point's pixel. Pair shards hold no pixels, but they hold what 2D models saw at the
  pixel: the phrase of the entity there. Its text embedding is the feature g, and its class is the one it is
  on most often in the labelled scans. A phrase that is on no labelled point guides nothing.
- The class of a point is its label where it has one, else that of its phrase.
- Each phrase of the batch counts once among the g, however many pixels it covers.
- All values but alpha, and that the projector is a multi-layer perceptron.
- FOVMix: the wedge has a fixed angle about the mean azimuth of the points that have a phrase, and turns by
  one to three quarters, which maps the voxel lattice to itself. The n-th labelled scan of a batch is mixed
  with its n-th unlabelled one, both ways. Mixed scans come beside the others, as LaserMix's, and their
  targets are those of the scans that they are made of.
- CE and KL are means of their own; no Lovász term. Student and teacher see one cloud.
It is a method for scans about a sensor. With cameras all around, the wedge is one of many views.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lass3d_core.compute import parallel
from lass3d_core.compute.precision import to_float32
from lass3d_core.labels import IGNORE
from lass3d_core.paper import ema, losses
from lass3d_core.records import NONE
from lass3d_core.sparse.maps import build_pyramid
from train.methods.contract import Ingredients, SemiBatch
from train.methods.parts.crops import Crop, quarter_turned


@dataclass(frozen=True)
class IgnetConfig:
    """lambda_mix: of all terms on mixed scans. fov_deg: angle of the wedge that FOVMix moves."""

    alpha: float = 0.999  # horizon of the teacher; LASS3D, Sec. 4.2
    lambda_consistency: float = 1.0  # guessed: as LiM3D, whose pipeline is IGNet's
    lambda_image: float = 0.1  # guessed: as GPC's contrast
    temperature: float = 0.1  # guessed: as GPC's contrast
    lambda_mix: float = 1.0  # guessed: as LaserMix; 0 = no FOVMix
    fov_deg: float = 80.0  # KITTI's camera: 2 atan(1242 / 2 / 721)
    seed: int = 0  # of the turns of FOVMix

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < 1:
            raise ValueError(f"alpha must lie in [0, 1), got {self.alpha}")
        for name in ("lambda_consistency", "lambda_image", "lambda_mix", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.temperature <= 0:
            raise ValueError(f"temperature must be positive, got {self.temperature}")
        if not 0 < self.fov_deg <= 360:
            raise ValueError(f"fov_deg must lie in (0, 360], got {self.fov_deg}")


class Ignet(nn.Module):
    """Decision: the teacher runs in training mode and keeps running statistics of its own (see
    ema.update_buffers). Labelled and unlabelled scans are normalised together, mixed ones by themselves.
    """

    phrase_rows: Tensor
    phrase_class: Tensor

    def __init__(self, config: IgnetConfig, ingredients: Ingredients) -> None:
        super().__init__()
        self.config = config
        self.student = ingredients.make_segmenter()
        channels = self.student.backbone.out_channels
        self.teacher = ema.teacher_of(self.student)
        self.projector = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, ingredients.text_dim)
        )
        rows, classes = _phrases(ingredients)
        self.register_buffer("phrase_rows", rows, persistent=False)
        self.register_buffer("phrase_class", classes, persistent=False)
        self.register_buffer("class_weights", ingredients.class_weights, persistent=False)
        self.measures: dict[str, float] = {}

    @property
    def predictor(self) -> nn.Module:
        """The teacher."""
        return self.teacher

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """ce_l, consistency and image; where scans are mixed also their sum on mixed ones, mix."""
        with torch.no_grad():
            teacher = self.teacher(batch.features, batch.pyramid)
        phrases = self._phrases_of(batch)
        features = self.student.backbone(batch.features, batch.pyramid)
        terms = self._terms(
            features, torch.arange(len(features), device=features.device), batch, teacher, phrases
        )
        self.measures = {
            "labelled_points": float((batch.labels != IGNORE).sum()),
            "image_share": float((batch.phrase != NONE).float().mean()),
            "phrases": float(len(phrases)),
        }
        if self.config.lambda_mix:
            cloud = self._mixed(batch, step)
            mixed = self.student.backbone(cloud.features, build_pyramid(cloud.coords, batch.pyramid.levels))
            of_mixed = self._terms(mixed, cloud.rows, batch, teacher, phrases)
            terms["mix"] = self.config.lambda_mix * torch.stack(list(of_mixed.values())).sum()
            self.measures["mixed_points"] = float(len(cloud.rows))
        return terms

    def further_losses(self, batch: SemiBatch, step: int) -> Iterator[dict[str, Tensor]]:
        """None."""
        return iter(())

    def after_step(self, step: int) -> None:
        """The teacher follows the student, parameters only."""
        ema.update_teacher(self.teacher, self.student, self.config.alpha, step)

    def _terms(
        self, features: Tensor, rows: Tensor, batch: SemiBatch, teacher: Tensor, phrases: Tensor
    ) -> dict[str, Tensor]:
        """The terms on features (K,F) of the batch's voxels `rows` (K,); teacher (M,C): its logits."""
        logits = self.student.classifier(features)
        labels, phrase = batch.labels[rows], batch.phrase[rows]
        without = labels == IGNORE
        divergence = losses.feature_kl(teacher[rows][without], logits[without])  # of classes, not channels
        paired = phrase != NONE
        classes = torch.where(without, self.phrase_class[phrase], labels)[paired]
        projected = F.normalize(to_float32(self.projector(features[paired])), dim=1)
        guidance = one_way_contrast(
            projected,
            classes,
            self.phrase_rows[phrases],
            self.phrase_class[phrases],
            self.config.temperature,
        )
        return {
            "ce_l": losses.cross_entropy(logits, labels, self.class_weights),
            "consistency": self.config.lambda_consistency * divergence,
            "image": self.config.lambda_image * guidance,
        }

    def _phrases_of(self, batch: SemiBatch) -> Tensor:
        """The rows (R,) of the phrases that voxels of the batch carry, in any process, with a class."""
        here = batch.phrase[batch.phrase != NONE].unique()
        phrases = parallel.rows_of_all(here).unique()
        return phrases[self.phrase_class[phrases] != IGNORE]

    def _mixed(self, batch: SemiBatch, step: int) -> Crop:
        """The mixed scans as one cloud; rows: which voxel of the batch each of its voxels is.

        The draw hangs on the slot of the labelled scan: processes that share a batch draw as one does.
        """
        coords = batch.pyramid.coords[0]
        slots = [batch.scan[kind].unique().tolist() for kind in (batch.is_labelled, ~batch.is_labelled)]
        none = batch.scan[:0]
        clouds = [Crop(none, coords[none], batch.features[none])]
        for number, (labelled, unlabelled) in enumerate(zip(*slots)):
            rng = np.random.default_rng((self.config.seed, step, labelled))
            for side, (into, of) in enumerate(((labelled, unlabelled), (unlabelled, labelled))):
                turns = int(rng.integers(1, 4))
                whole, seen = (_scan(batch, slot) for slot in (into, of))
                view = batch.phrase[seen.rows] != NONE
                cloud = fov_mix(whole, seen, view, turns, math.radians(self.config.fov_deg))
                cloud.coords[:, 0] = 2 * number + side
                clouds.append(cloud)
        return Crop.joined(clouds)


def _scan(batch: SemiBatch, slot: int) -> Crop:
    rows = (batch.scan == slot).nonzero().squeeze(1)
    return Crop(rows, batch.pyramid.coords[0][rows], batch.features[rows])


def _phrases(ingredients: Ingredients) -> tuple[Tensor, Tensor]:
    """The unit text embedding (P+1,D) of each phrase and the class (P+1,) that it is on most often, else 255.

    The last row is that of NONE: no phrase.
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
    """L_image of points (N,D) of classes (N,) towards pixels (R,D) of classes (R,), all of unit length.

    A share of the mean over the points of all processes that have a pixel of their class; 0 without any.
    """
    positive = classes.unsqueeze(1) == of_class
    counts = positive.sum(dim=1)
    counted = counts > 0
    log_share = (points[counted] @ pixels.detach().T / temperature).log_softmax(dim=1)
    total = -((log_share * positive[counted]).sum(dim=1) / counts[counted]).sum()
    return total / parallel.all_reduce_sum(counted.sum().to(total.dtype)).clamp(min=1)


def fov_mix(into: Crop, of: Crop, view: Tensor, turns: int, angle: float) -> Crop:
    """Scan `into` with the camera's wedge of scan `of`, after `turns` quarters, in place of its own there.

    view (K,) bool: voxels of `of` that a camera sees; the wedge is `angle` radians about their mean azimuth.
    Nothing where it sees none. No voxel occurs twice: one test on one lattice cuts both scans.
    """
    if not view.any():
        return Crop(of.rows[:0], of.coords[:0], of.features[:0])
    azimuth = _azimuth(of.coords[view])
    centre = torch.atan2(azimuth.sin().sum(), azimuth.cos().sum())
    taken, replaced = (_within(scan.coords, centre, angle) for scan in (of, quarter_turned(into, -turns)))
    wedge = quarter_turned(Crop(of.rows[taken], of.coords[taken], of.features[taken]), turns)
    kept = ~replaced
    return Crop.joined([Crop(into.rows[kept], into.coords[kept], into.features[kept]), wedge])


def _azimuth(coords: Tensor) -> Tensor:
    """Of the centres of voxels coords (N,4), (N,) float64, radians."""
    return torch.atan2(coords[:, 2].double() + 0.5, coords[:, 1].double() + 0.5)


def _within(coords: Tensor, centre: Tensor, angle: float) -> Tensor:
    away = _azimuth(coords) - centre
    return torch.atan2(away.sin(), away.cos()).abs() <= angle / 2
