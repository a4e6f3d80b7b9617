"""LiM3D, "Less is more" (Li, Shum and Breckon, CVPR 2023), approximate.

First a mean teacher, then distillation of its class- and range-balanced pseudo-labels with a contrast that
learns from the points which have none:
    L = CE(labelled) + KL(p_t || p_s) on points without label + Lovász(points with a label)
    pseudo-label = argmax p where it is above k^(c,r), the confidence that half of the points predicted as
        class c in the range annulus r exceed; 10 annuli of 5 m
    L_c = mean over queries of -log exp(z . m_c / tau) / (exp(z . m_c / tau) + sum_n exp(z . n / tau)), where
        the products are cosines
    from the distillation on: L with pseudo-labels as labels, + 0.3 L_c, tau = 0.5
z: 16 features of the student per class, of points with that label of which the teacher is sure (p_c > 0.3,
and on unlabelled scans an entropy among the lowest 40 %). m_c: the teacher's mean feature of class c. n: 50
features of the teacher for each query, from a bank of class c (30 000, first in, first out) that holds what
is not c: unlabelled points of entropy among the highest 40 % where c is the 4th likeliest class or further
down, and labelled points of another class that have c among their three likeliest. alpha = 0.99.
The values are those of the authors' published configuration.

What was guessed, and what is left out:
- The published code neither calls its contrast nor finds the shapes it expects. L_c is what its pieces and
  its origin (U2PL; Wang et al., CVPR 2022) say together; the shares of entropy do not shrink over training.
- Rounds. The paper trains 200 epochs, predicts the whole set, and trains a new network for 75 epochs. Here
  the one schedule is parted at the same share, the network goes on, and thresholds are those of the points
  that have been predicted so far, as in the other methods of this package.
- CE and KL are means of their own: the paper divides their sum by all points, which with as many unlabelled
  as labelled points is the same but for a factor of 2. Pseudo-labels have a CE of their own, too.
- Student and teacher see one cloud; the paper augments them by independent draws.
- At most 1 000 features of a class enter the bank in a step; the code takes all of a single scan.
- Left out: the reflectivity descriptors of the input (Reflec-TTA) and the sparse depthwise separable
  convolution, because all methods have one network; ST-RFD, which chooses what is labelled, because all have
  one labelled set; and the label histograms (PLS), which read the labels of the very scan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lass3d_core.compute import parallel
from lass3d_core.compute.precision import to_float32
from lass3d_core.labels import IGNORE
from lass3d_core.paper import ema, losses
from lass3d_core.paper.exploitation import ExploitationConfig, exploitation
from train.methods.contract import Ingredients, SemiBatch
from train.methods.parts.class_bank import Bank, rank_in_class
from train.methods.parts.confidences import Confidences


@dataclass(frozen=True)
class Lim3dConfig:
    """Defaults: the authors' published configuration, but for the two that are ours."""

    alpha: float = 0.99  # horizon of the teacher
    lambda_consistency: float = 1.0
    lambda_lovasz: float = 1.0
    distil_from: int = 18_000  # step; ours: 200 of 275 epochs, of the 25 000 steps of LaserMix's recipe
    lambda_u: float = 1.0  # weight of the pseudo-labels, which count as labels do
    portion: float = 0.5  # of the points predicted as a class in an annulus that keep their label
    annuli: int = 10
    range_m: float = 50.0  # outer radius of the last annulus but for what lies beyond, metres
    lambda_contrast: float = 0.3
    temperature: float = 0.5
    queries: int = 16  # per class
    negatives: int = 50  # per query
    bank: int = 30_000  # features per class
    enqueued: int = 1_000  # features per class and step at most; ours
    entropy_share: float = 0.4  # of the unlabelled points that are sure, and again that are unsure
    likeliest: int = 3  # classes of a point that count as likely
    anchor_confidence: float = 0.3
    seed: int = 0  # of queries and negatives
    pe: ExploitationConfig = field(default_factory=ExploitationConfig)  # where no pseudo-label is

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < 1:
            raise ValueError(f"alpha must lie in [0, 1), got {self.alpha}")
        for name in ("portion", "entropy_share", "anchor_confidence"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        for name in ("lambda_consistency", "lambda_lovasz", "lambda_u", "lambda_contrast", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("distil_from", "annuli", "queries", "negatives", "enqueued", "likeliest"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if min(self.range_m, self.temperature) <= 0 or self.bank < self.enqueued:
            raise ValueError("range_m and temperature must be positive, bank at least enqueued")


class Lim3d(nn.Module):
    """Student and teacher; from `distil_from` on also the labeller, which is the teacher as it was then.

    Decision: the teacher runs in training mode and keeps running statistics of its own (ema.update_buffers).
    The labeller predicts as at inference.
    """

    def __init__(self, config: Lim3dConfig, ingredients: Ingredients) -> None:
        super().__init__()
        self.config = config
        self.student = ingredients.make_segmenter()
        self.teacher = ema.teacher_of(self.student)
        self.labeller = ema.teacher_of(self.student)
        self.confidences = Confidences(ingredients.num_classes, config.annuli)
        self.bank = Bank(ingredients.num_classes, config.bank, self.student.backbone.out_channels)
        self.register_buffer("class_weights", ingredients.class_weights, persistent=False)
        self.measures: dict[str, float] = {}

    @property
    def predictor(self) -> nn.Module:
        """The teacher."""
        return self.teacher

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """ce_l, consistency, lovasz; from `distil_from` on also ce_u, contrast and, if switched on, pe."""
        features = self.student.backbone(batch.features, batch.pyramid)
        logits = self.student.classifier(features)
        with torch.no_grad():
            teacher_features = self.teacher.backbone(batch.features, batch.pyramid)
            teacher = self.teacher.classifier(teacher_features)
        distils, unlabelled = step >= self.config.distil_from, ~batch.is_labelled
        pseudo_labels = self._pseudo_labels(batch) if distils else torch.full_like(batch.labels, IGNORE)
        labels = torch.where(batch.is_labelled, batch.labels, pseudo_labels)
        without = labels == IGNORE
        self.measures = {
            "labelled_points": float((batch.labels != IGNORE).sum()),
            "pseudo_share": float((~without & unlabelled).sum() / unlabelled.sum().clamp(min=1)),
        }
        divergence = losses.feature_kl(teacher[without], logits[without])  # of classes instead of channels
        terms = {
            "ce_l": losses.cross_entropy(logits, batch.labels, self.class_weights),
            "consistency": self.config.lambda_consistency * divergence,
            "lovasz": self.config.lambda_lovasz * losses.lovasz_softmax(logits, labels),
        }
        if not distils:
            return terms
        ce_u = losses.cross_entropy(logits, pseudo_labels, self.class_weights)
        terms["ce_u"] = self.config.lambda_u * ce_u
        seen = SeenFeatures(to_float32(teacher_features), teacher.softmax(dim=1), labels, batch.is_labelled)
        terms["contrast"] = self.config.lambda_contrast * self._contrast(to_float32(features), seen, step)
        if self.config.pe.weight:
            reliable = pseudo_labels[unlabelled] != IGNORE
            terms["pe"] = exploitation(logits[unlabelled], reliable, self.config.pe)
        return terms

    def further_losses(self, batch: SemiBatch, step: int) -> Iterator[dict[str, Tensor]]:
        """None."""
        return iter(())

    def after_step(self, step: int) -> None:
        """The teacher follows the student, parameters only; once, it becomes the labeller."""
        ema.update_teacher(self.teacher, self.student, self.config.alpha, step)
        if step + 1 == self.config.distil_from:
            self.labeller.load_state_dict(self.teacher.state_dict())

    @torch.no_grad()
    def _pseudo_labels(self, batch: SemiBatch) -> Tensor:
        """Labels (M,) of the unlabelled points that the labeller is sure enough of, else 255."""
        unlabelled = ~batch.is_labelled
        logits = self.labeller.eval()(batch.features, batch.pyramid)[unlabelled]
        annulus = annuli(batch.features[unlabelled], self.config.annuli, self.config.range_m)
        self.confidences.count(logits, annulus)
        thresholds = self.confidences.log_thresholds(self.config.portion)
        confidence, predicted = logits.double().log_softmax(dim=1).max(dim=1)
        doubted = confidence < thresholds[annulus * logits.shape[1] + predicted]
        labels = torch.full_like(batch.labels, IGNORE)
        labels[unlabelled] = predicted.masked_fill(doubted, IGNORE)
        return labels

    def _contrast(self, features: Tensor, seen: SeenFeatures, step: int) -> Tensor:
        """L_c of the student's features (M,E), after the bank has taken in what the teacher saw."""
        config = self.config
        rng = np.random.default_rng((config.seed, step, parallel.rank()))
        sure, unsure = by_entropy(seen.probabilities, ~seen.is_labelled, config.entropy_share)
        point, of_class = negatives(seen, unsure, config.likeliest).nonzero().unbind(dim=1)
        chosen = rank_in_class(of_class, rng) < config.enqueued // parallel.world_size()
        entering = (seen.features[point[chosen]], of_class[chosen])
        self.bank.enter(*(parallel.rows_of_all(rows) for rows in entering))

        anchors = (seen.labels != IGNORE) & (seen.is_labelled | sure)
        centres = class_means(seen.features[anchors], seen.labels[anchors], len(self.bank.entered))
        own = seen.probabilities.gather(1, seen.labels.masked_fill(~anchors, 0).unsqueeze(1)).squeeze(1)
        queries, places = self._drawn(seen.labels, anchors & (own > config.anchor_confidence), rng)
        classes = seen.labels[queries]
        against = self.bank.rows[classes.unsqueeze(1), places]
        self.measures |= {"queries": float(len(queries)), "banked": float(sum(self.bank.kept))}
        return bank_contrast(features[queries], centres[classes], against, config.temperature)

    def _drawn(self, labels: Tensor, candidates: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Points (Q,), `queries` of each class with candidates (M,) bool, and places (Q,K) in its bank."""
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


@dataclass(frozen=True)
class SeenFeatures:
    """What the teacher makes of the batch: features (M,E), probabilities (M,C); and what is known of it.

    labels (M,) int64: given or pseudo, 255 none. is_labelled (M,) bool.
    """

    features: Tensor
    probabilities: Tensor
    labels: Tensor
    is_labelled: Tensor


def annuli(points: Tensor, count: int, range_m: float) -> Tensor:
    """The range annulus (N,) int64 of points (N,3+), metres from the sensor; what lies beyond is the last."""
    distance = torch.hypot(points[:, 0], points[:, 1])
    return (distance * (count / range_m)).floor().long().clamp(max=count - 1)


def by_entropy(probabilities: Tensor, counted: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Which points (M,) bool have an entropy among the `share` lowest, and which among the highest.

    Of probabilities (M,C), among the points `counted` (M,) bool of all processes; no other point is either.
    """
    entropy = torch.special.entr(probabilities).sum(dim=1)
    of_all = parallel.rows_of_all(entropy[counted]).sort().values
    if not len(of_all):
        return counted, counted
    low, high = (of_all[round(at * (len(of_all) - 1))] for at in (share, 1 - share))
    return counted & (entropy <= low), counted & (entropy >= high)


def negatives(seen: SeenFeatures, unsure: Tensor, likeliest: int) -> Tensor:
    """Which classes (M,C) bool a point is kept as a negative of; unsure (M,) bool: points of high entropy."""
    rank = seen.probabilities.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    likely = rank < likeliest
    classes = torch.arange(rank.shape[1], device=rank.device)
    another = (seen.labels != IGNORE).unsqueeze(1) & (seen.labels.unsqueeze(1) != classes)
    return torch.where(seen.is_labelled.unsqueeze(1), likely & another, ~likely & unsure.unsqueeze(1))


def class_means(features: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """The mean feature (C,E) of each class, of features (N,E) of all processes; 0 where it has none."""
    sums = features.new_zeros(num_classes, features.shape[1]).index_add_(0, labels, features)
    counts = parallel.all_reduce_sum(torch.bincount(labels, minlength=num_classes))
    return parallel.all_reduce_sum(sums) / counts.clamp(min=1).unsqueeze(1)


def bank_contrast(queries: Tensor, positives: Tensor, against: Tensor, temperature: float) -> Tensor:
    """L_c of queries (Q,E), positives (Q,E) and negatives (Q,K,E): a share of the mean over the queries."""
    compared = torch.cat([positives.unsqueeze(1), against], dim=1).detach()
    scores = F.cosine_similarity(queries.unsqueeze(1), compared, dim=2) / temperature
    total = (scores.logsumexp(dim=1) - scores[:, 0]).sum()
    return total / parallel.all_reduce_sum(total.new_tensor(float(len(queries)))).clamp(min=1)
