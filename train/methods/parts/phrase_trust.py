"""How far phrases are to be believed: the share of them that mean what they meant on the labelled scans.

A point's phrase is taken to be right with probability t, and else to have nothing to do with the point's
class. What it says of a class (`log_ratio` of train/methods/parts/label_prior.py) is then worth

    log(1 + t (P(c | phrase) / prior(c) - 1)),

all of it for t = 1, nothing for t = 0; and however surely a phrase speaks against a class, a doubt of 1 - t
remains. t is the share that makes the phrases seen at points of known class likeliest.
Letters: P phrases, C classes, N phrases or levels of evidence, U points.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lass3d_core.compute import parallel
from train.methods.parts.label_prior import LabelPriorConfig, PhraseCounts, log_ratio


def believed(evidence: Tensor, trust: float) -> Tensor:
    """Evidence in nats, any shape, of phrases of which the share `trust` in [0, 1] is right."""
    return torch.log1p(trust * torch.expm1(evidence))


def likeliest_trust(points: Tensor, evidence: Tensor) -> float:
    """The t in [0, 1] that makes what was seen likeliest; NaN where no class has a point.

    points (C,N): how many points of the class showed this evidence for it. evidence (C,N) or (N,): nats.
    Decision: every class has the same say, however many points it has; roads would decide alone.
    """
    met = points.sum(dim=1) > 0
    if not bool(met.any()):
        return math.nan
    share = points[met].double() / points[met].sum(dim=1, keepdim=True)
    gain = torch.expm1(evidence.double()).expand(points.shape)[met]

    def slope(trust: float) -> float:
        """Of the mean log-likelihood, which is concave in t: it falls."""
        return float((share * gain / (1 + trust * gain).clamp(min=1e-12)).sum())

    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return (low + high) / 2


def held_out_trust(phrases: PhraseCounts, config: LabelPriorConfig) -> float:
    """Of the phrases on labelled scans, each scored by the counts of the other folds.

    NaN with a single fold, where nothing can be held out, and where no point has a phrase.
    """
    if len(phrases.counts) < 2:
        return math.nan
    total = phrases.counts.sum(dim=0)
    told = [log_ratio(total - fold, phrases, config) for fold in phrases.counts]
    return likeliest_trust(phrases.counts.flatten(0, 1).T, torch.cat(told).T)


class UnlabelledTrust(torch.nn.Module):
    """The same on unlabelled scans, where a network is sure of a class by shape alone: a running figure.

    It needs no label, and so it sees what no check on labelled scans can: phrases that mean something else
    than there, or nothing. Kept is, by class, how often which evidence was met (C,N).
    """

    seen: Tensor
    levels: Tensor

    def __init__(self, num_classes: int, horizon: float) -> None:
        """horizon: batches after which a batch's weight has fallen to 1/e."""
        super().__init__()
        self.decay = 1 - 1 / horizon
        self.register_buffer("levels", torch.arange(-_FURTHEST, _FURTHEST + _APART, _APART), persistent=False)
        self.register_buffer("seen", torch.zeros(num_classes, len(self.levels)))

    @torch.no_grad()
    def update(self, belief: Tensor, evidence: Tensor, phrase: Tensor, confidence: float) -> None:
        """Add the points (U,) that have a phrase (-1: none) and whose belief (U,C) reaches `confidence`.

        evidence (P,C): nats, as counted.
        """
        most, label = belief.max(dim=1)
        sure = (phrase >= 0) & (most >= confidence)
        told = evidence[phrase[sure], label[sure]].clamp(-_FURTHEST, _FURTHEST)
        cell = label[sure] * len(self.levels) + ((told + _FURTHEST) / _APART).round().long()
        met = torch.bincount(cell, minlength=self.seen.numel()).to(self.seen.dtype)
        self.seen.mul_(self.decay).add_(parallel.all_reduce_sum(met).view_as(self.seen))

    @property
    def trust(self) -> float:
        """In [0, 1]; 0 while nothing is known. Decision: a class below 20 points has no say yet."""
        judged = self.seen.sum(dim=1) >= _LEAST_POINTS
        trust = likeliest_trust(self.seen[judged], self.levels)
        return 0.0 if math.isnan(trust) else trust


_HALVINGS = 20
_FURTHEST = 6.0
_APART = 0.125
_LEAST_POINTS = 20
"""Of a class, before it is judged: the first that a young network is sure of are often wrong."""
