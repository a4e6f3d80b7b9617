"""LiM3D, "Less is more" (Li, Shum and Breckon, CVPR 2023), approximate.

First a mean teacher. Then its class- and range-balanced pseudo-labels are distilled, with a contrast that
learns from the points without one:
    L = CE(labelled) + KL(p_t || p_s) on points without label + Lovász(points with a label)
    pseudo-label = argmax p if it is above k^(c,r): the confidence that half of the points predicted as
        class c in the range annulus r exceed; 10 annuli of 5 m
    L_c = mean over queries of -log exp(z . m_c / tau) / (exp(z . m_c / tau) + sum_n exp(z . n / tau)), where
        the products are cosines
    from the distillation on: L with pseudo-labels as labels, + 0.3 L_c, tau = 0.5
z: 16 features of the student per class, of points with that label of which the teacher is sure (p_c > 0.3,
and on unlabelled scans an entropy among the lowest 40 %).
m_c: the teacher's mean feature of class c.
n: 50 features of the teacher for each query, from a bank of class c (30 000, first in, first out) with points
of other classes. These are unlabelled points with an entropy among the highest 40 % for which c is the 4th
likeliest class or less likely, and labelled points of another class with c among their three likeliest.
alpha = 0.99. The values are the authors' published configuration.

Guessed or left out:
- The published code neither calls its contrast nor finds the shapes it expects. L_c combines its pieces and
  its origin (U2PL; Wang et al., CVPR 2022). The shares of entropy do not shrink over training.
- Rounds. The paper trains 200 epochs, predicts the whole set, and trains a new network for 75 epochs. Here
  the one schedule is split at the same share, the network continues, and thresholds count the points
  predicted so far, as in the other methods of this package.
- The ramp: with `ramp_steps` the consistency rises from step 0 on, and ce_u, contrast and pe from the first
  step of the distillation on. Lovász takes labels and pseudo-labels as one set and does not rise.
- CE and KL are separate means. The paper divides their sum by all points; with as many unlabelled as labelled
  points that differs by a factor of 2 only. Pseudo-labels have a separate CE, too.
- Student and teacher see one cloud; the paper augments them by independent draws. With `noise` each sees the
  same voxels with noise of its own (parts/noise.py). The labeller sees none.
- At most 1 000 features of a class enter the bank in a step; the code takes all of a single scan.
- Left out: the reflectivity descriptors of the input (Reflec-TTA) and the sparse depthwise separable
  convolution, because all methods have one network; ST-RFD, which chooses what is labelled, because all have
  one labelled set; and the label histograms (PLS), which read the labels of the very scan.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from lass3d_core.compute import parallel
from lass3d_core.compute.precision import to_float32
from lass3d_core.labels import IGNORE
from lass3d_core.paper import ema, losses
from lass3d_core.paper.exploitation import ExploitationConfig, exploitation_loss
from lass3d_core.settings import SETTINGS
from train.methods.contract import Ingredients, MethodConfig, SemiBatch, Share, channels_of
from train.methods.parts.branches import StudentAndTeacher
from train.methods.parts.class_bank import Bank, rank_in_class
from train.methods.parts.confidences import Confidences
from train.methods.parts.noise import noisy
from train.methods.parts.ramp import ramp


@dataclass(frozen=True, config=SETTINGS)
class Lim3dConfig(MethodConfig):
    """Defaults: the authors' published configuration, except the two that are marked as ours."""

    alpha: float = Field(default=0.99, ge=0, lt=1)  # horizon of the teacher
    lambda_consistency: NonNegativeFloat = 1.0
    lambda_lovasz: NonNegativeFloat = 1.0
    ramp_steps: NonNegativeInt = 0  # steps over which each unsupervised weight rises from 0; 0: none
    noise: NonNegativeFloat = 0.0  # of student and teacher, each its own: metres, and a share; 0: none
    distil_from: PositiveInt = 18_000  # step; ours: 200 of 275 epochs of LaserMix's 25 000 steps
    lambda_u: NonNegativeFloat = 1.0  # weight of the pseudo-labels, which count as labels do
    portion: Share = 0.5  # of the points of a class and annulus that keep their label
    annuli: PositiveInt = 10
    range_m: PositiveFloat = 50.0  # outer radius of the annuli, metres; points beyond belong to the last one
    lambda_contrast: NonNegativeFloat = 0.3
    temperature: PositiveFloat = 0.5
    queries: PositiveInt = 16  # per class
    negatives: PositiveInt = 50  # per query
    bank: PositiveInt = 30_000  # features per class
    enqueued: PositiveInt = 1_000  # features per class and step at most; ours
    entropy_share: Share = 0.4  # of unlabelled points that are sure; as many are unsure
    likeliest: PositiveInt = 3  # classes of a point that count as likely
    anchor_confidence: Share = 0.3
    seed: NonNegativeInt = 0  # of queries and negatives
    pe: ExploitationConfig = ExploitationConfig()  # on points without a pseudo-label; off

    def __post_init__(self) -> None:
        if self.enqueued > self.bank:
            raise ValueError(f"enqueued must not exceed bank, got {self.enqueued} and {self.bank}")


class Lim3d(StudentAndTeacher):
    """Student, teacher, and from step `distil_from` on the labeller: that step's teacher, in eval mode."""

    def __init__(self, config: Lim3dConfig, ingredients: Ingredients) -> None:
        super().__init__(config, ingredients)
        self.labeller = ema.teacher_of(self.student)
        self.confidences = Confidences(ingredients.num_classes, config.annuli)
        self.bank = Bank(ingredients.num_classes, config.bank, channels_of(self.student.backbone))

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """ce_l, consistency, lovasz; from `distil_from` on also ce_u, contrast and, if switched on, pe."""
        features = self.student.backbone(noisy(batch.features, self.config.noise), batch.pyramid)
        logits = self.student.classifier(features)
        with torch.no_grad():
            seen_by_teacher = noisy(batch.features, self.config.noise)
            teacher_features = self.teacher.backbone(seen_by_teacher, batch.pyramid)
            teacher = self.teacher.classifier(teacher_features)
        distils, unlabelled = step >= self.config.distil_from, batch.unlabelled
        pseudo_labels = self._pseudo_labels(batch) if distils else torch.full_like(batch.labels, IGNORE)
        labels = torch.where(batch.is_labelled, batch.labels, pseudo_labels)
        without = labels == IGNORE
        counted = slice(None) if distils else batch.labelled  # the loss sorts its points
        self.measures = {
            "labelled_points": batch.labelled_points,
            "pseudo_share": (~without[unlabelled]).sum() / max(len(without[unlabelled]), 1),
        }
        divergence = losses.feature_kl(teacher, logits, without)  # a softmax over classes
        terms = {
            "ce_l": losses.cross_entropy(logits, batch.labels, self.class_weights),
            "consistency": ramp(step, self.config.ramp_steps) * self.config.lambda_consistency * divergence,
            "lovasz": self.config.lambda_lovasz * losses.lovasz_softmax(logits[counted], labels[counted]),
        }
        if not distils:
            return terms
        risen = ramp(step - self.config.distil_from, self.config.ramp_steps)
        ce_u = losses.cross_entropy(logits, pseudo_labels, self.pseudo_label_weights)
        terms["ce_u"] = risen * self.config.lambda_u * ce_u
        seen = SeenFeatures(to_float32(teacher_features), teacher.softmax(dim=1), labels, batch.is_labelled)
        contrast = self._contrast(to_float32(features), seen, step)
        terms["contrast"] = risen * self.config.lambda_contrast * contrast
        if self.config.pe.weight:
            reliable = pseudo_labels[unlabelled] != IGNORE
            terms["pe"] = risen * exploitation_loss(logits[unlabelled], reliable, self.config.pe)
        return terms

    def after_step(self, step: int) -> None:
        super().after_step(step)
        if step + 1 == self.config.distil_from:
            self.labeller.load_state_dict(self.teacher.state_dict())

    @torch.no_grad()
    def _pseudo_labels(self, batch: SemiBatch) -> Tensor:
        """Labels (M,) of the unlabelled points if the labeller is sure enough, else 255."""
        unlabelled = batch.unlabelled
        logits = self.labeller.eval()(batch.features, batch.pyramid)[unlabelled]
        annulus = annuli(batch.features[unlabelled], self.config.annuli, self.config.range_m)
        self.confidences.count(logits, annulus)
        thresholds = self.confidences.log_thresholds(self.config.portion)
        confidence, predicted = logits.double().log_softmax(dim=1).max(dim=1)
        doubted = confidence < thresholds[annulus * logits.shape[1] + predicted]
        none = torch.full_like(batch.labels[batch.labelled], IGNORE)
        return torch.cat([none, predicted.masked_fill(doubted, IGNORE)])

    def _contrast(self, features: Tensor, seen: SeenFeatures, step: int) -> Tensor:
        """Put the teacher's features into the bank, then compute L_c of the student's features (M,E)."""
        config = self.config
        rng = np.random.default_rng((config.seed, step, parallel.rank()))
        sure, unsure = by_entropy(seen.probabilities, ~seen.is_labelled, config.entropy_share)
        point, of_class = negatives(seen, unsure, config.likeliest).nonzero().unbind(dim=1)
        chosen = rank_in_class(of_class, rng) < config.enqueued // parallel.world_size()
        entering = seen.features[point[chosen]], of_class[chosen]
        self.bank.enter(*map(parallel.rows_of_all, entering))

        anchors = (seen.labels != IGNORE) & (seen.is_labelled | sure)
        centres = class_means(seen.features[anchors], seen.labels[anchors], len(self.bank.entered))
        own = seen.probabilities.gather(1, seen.labels.masked_fill(~anchors, 0).unsqueeze(1)).squeeze(1)
        queries, places = self._drawn(seen.labels, anchors & (own > config.anchor_confidence), rng)
        classes = seen.labels[queries]
        against = self.bank.rows[classes.unsqueeze(1), places]
        self.measures |= {"queries": float(len(queries)), "banked": float(sum(self.bank.kept))}
        return bank_contrast(features[queries], centres[classes], against, config.temperature)

    def _drawn(self, labels: Tensor, candidates: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Draw `queries` points of each class, (Q,) in all, and for each K places in the bank of its class.

        candidates (M,) bool: the points to draw from. Returns (Q,) and (Q,K).
        """
        queries, places = [labels.new_zeros(0)], [labels.new_zeros(0, self.config.negatives)]
        for index, kept in enumerate(self.bank.kept):
            points = (candidates & (labels == index)).nonzero().squeeze(1)
            if kept and len(points):
                count = max(1, self.config.queries // parallel.world_size())
                drawn = rng.integers(len(points), size=count)
                queries.append(points[torch.from_numpy(drawn).to(points.device)])
                drawn = rng.integers(kept, size=(count, self.config.negatives))
                places.append(torch.from_numpy(drawn).to(points.device))
        return torch.cat(queries), torch.cat(places)


class SeenFeatures(NamedTuple):
    """The teacher's features (M,E) and probabilities (M,C), and the batch's labels.

    labels (M,) int64: labels and pseudo-labels, 255 for none. is_labelled (M,) bool.
    """

    features: Tensor
    probabilities: Tensor
    labels: Tensor
    is_labelled: Tensor


def annuli(points: Tensor, count: int, range_m: float) -> Tensor:
    """The range annulus (N,) int64 of points (N,3+), metres from the sensor; far points get the last."""
    distance = torch.hypot(points[:, 0], points[:, 1])
    return (distance * (count / range_m)).floor().long().clamp(max=count - 1)


def by_entropy(probabilities: Tensor, counted: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Find the points whose entropy is among the `share` lowest, (M,) bool, and among the highest, (M,) bool.

    probabilities (M,C). counted (M,) bool: the points that are ranked, over all processes.
    """
    entropy = torch.special.entr(probabilities).sum(dim=1)
    of_all = parallel.rows_of_all(entropy[counted]).sort().values
    if not len(of_all):
        return counted, counted
    low, high = (of_all[round(at * (len(of_all) - 1))] for at in (share, 1 - share))
    return counted & (entropy <= low), counted & (entropy >= high)


def negatives(seen: SeenFeatures, unsure: Tensor, likeliest: int) -> Tensor:
    """The banks (M,C) bool that a point enters as a negative. unsure (M,) bool: its entropy is high."""
    rank = seen.probabilities.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    likely = rank < likeliest
    classes = torch.arange(rank.shape[1], device=rank.device)
    another = (seen.labels != IGNORE).unsqueeze(1) & (seen.labels.unsqueeze(1) != classes)
    return torch.where(seen.is_labelled.unsqueeze(1), likely & another, ~likely & unsure.unsqueeze(1))


def class_means(features: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """The mean (C,E) of features (N,E) in each class, over all processes; 0 for a class without points."""
    sums = features.new_zeros(num_classes, features.shape[1]).index_add_(0, labels, features)
    counts = parallel.all_reduce_sum(torch.bincount(labels, minlength=num_classes))
    return parallel.all_reduce_sum(sums) / counts.clamp(min=1).unsqueeze(1)


def bank_contrast(queries: Tensor, positives: Tensor, against: Tensor, temperature: float) -> Tensor:
    """L_c of queries (Q,E), positives (Q,E), negatives (Q,K,E): this process's share of the mean."""
    compared = torch.cat([positives.unsqueeze(1), against], dim=1).detach()
    scores = F.cosine_similarity(queries.unsqueeze(1), compared, dim=2) / temperature
    return losses.share_of_mean((scores.logsumexp(dim=1) - scores[:, 0]).sum(), len(queries))
