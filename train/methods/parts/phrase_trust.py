"""How far phrases are trusted: the share of them that mean what they meant on the labelled scans.

The model: a point's phrase is right with probability t; otherwise it is independent of the point's class.
Then its evidence for a class (`log_ratio` of train/methods/parts/label_prior.py) becomes

    log(1 + t (P(c | phrase) / prior(c) - 1)).

For t = 1 this is the whole evidence, for t = 0 it is zero. However strong the evidence against a class is, a
probability of 1 - t remains. t is the maximum-likelihood estimate from phrases at points of known class.
Letters: P phrases, C classes, N phrases or levels of evidence, U points.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lass3d_core.compute import parallel
from train.methods.parts.label_prior import LabelPriorConfig, PhraseCounts, log_ratio


def believed(evidence: Tensor, trust: float) -> Tensor:
    """Evidence, in nats, of phrases of which the share `trust` in [0, 1] is right. Any shape."""
    return torch.log1p(trust * torch.expm1(evidence))


def likeliest_trust(points: Tensor, evidence: Tensor) -> float:
    """The maximum-likelihood t in [0, 1]; NaN if no class has a point.

    points (C,N): the number of points of the class that had this evidence for it.
    evidence (C,N) or (N,), in nats.
    Decision: every class has the same weight, however many points it has. Otherwise roads would decide alone.
    """
    met = points.sum(dim=1) > 0
    if not bool(met.any()):
        return math.nan
    share = points[met].double() / points[met].sum(dim=1, keepdim=True)
    gain = torch.expm1(evidence.double()).expand(points.shape)[met]

    def slope(trust: float) -> float:
        """The slope of the mean log-likelihood. It falls: the likelihood is concave in t."""
        return float((share * gain / (1 + trust * gain).clamp(min=1e-12)).sum())

    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return (low + high) / 2


def held_out_trust(phrases: PhraseCounts, config: LabelPriorConfig) -> float:
    """The trust on labelled scans: each fold is judged by the counts of the others. NaN if none can be."""
    if len(phrases.counts) < 2:
        return math.nan
    total = phrases.counts.sum(dim=0)
    evidence = [log_ratio(total - fold, phrases, config) for fold in phrases.counts]
    return likeliest_trust(phrases.counts.flatten(0, 1).T, torch.cat(evidence).T)


class UnlabelledTrust(torch.nn.Module):
    """The trust on unlabelled scans, at points where a network is sure of a class by shape alone.

    It needs no label. So it detects what no check on labelled scans can: phrases that mean something else on
    the unlabelled scans, or nothing.
    seen (C,N): running counts of the N levels of evidence, by class.
    """

    seen: Tensor
    levels: Tensor

    def __init__(self, num_classes: int, horizon: float) -> None:
        super().__init__()
        # After `horizon` batches, the weight of a batch has fallen to 1/e.
        self.decay = 1 - 1 / horizon
        self.register_buffer("levels", torch.arange(-_FURTHEST, _FURTHEST + _APART, _APART), persistent=False)
        self.register_buffer("seen", torch.zeros(num_classes, len(self.levels)))

    @torch.no_grad()
    def update(self, belief: Tensor, evidence: Tensor, phrase: Tensor, confidence: float) -> None:
        """Count the points that have a phrase and whose belief reaches `confidence`.

        belief (U,C). evidence (P,C), in nats: from `log_ratio`. phrase (U,) int64, -1 for none.
        """
        most, label = belief.max(dim=1)
        sure = (phrase >= 0) & (most >= confidence)
        level = evidence[phrase[sure], label[sure]].clamp(-_FURTHEST, _FURTHEST)
        cell = label[sure] * len(self.levels) + ((level + _FURTHEST) / _APART).round().long()
        met = torch.bincount(cell, minlength=self.seen.numel()).to(self.seen.dtype)
        self.seen.mul_(self.decay).add_(parallel.all_reduce_sum(met).view_as(self.seen))

    @property
    def trust(self) -> float:
        """In [0, 1]; 0 while nothing is known. Decision: a class with fewer than 20 points does not count."""
        judged = self.seen.sum(dim=1) >= _LEAST_POINTS
        trust = likeliest_trust(self.seen[judged], self.levels)
        return 0.0 if math.isnan(trust) else trust


_HALVINGS = 20  # of the interval [0, 1] that holds t
_FURTHEST = 6.0  # nats; stronger evidence counts as this
_APART = 0.125  # nats between two levels of evidence
_LEAST_POINTS = 20  # of a class that counts: the first points that a young network is sure of are often wrong
