"""How far phrases are trusted: the share of them that prove right.

A point's phrases are right with probability t, and otherwise independent of the point's class. Then their
evidence for a class becomes log(1 + t (ratio - 1)), with the ratio of label_prior.py: the whole evidence for
t = 1, zero for t = 0. However strong the evidence against a class is, a probability of 1 - t remains. t is
the maximum-likelihood estimate from phrases at points of known class.

t may differ from point to point. Signs of a good vote (margin, score, views, distance) are weighed on
labelled points, whose phrases are judged by the counts of other scans. The weighed signs divide the points
into groups of equal size, and each group has its own t.
Letters: C classes, P phrases of the text table, U points, N levels of evidence, G groups, n labelled points.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lass3d_core.compute import parallel
from train.methods.parts.label_prior import (
    FURTHEST,
    LabelledVotes,
    LabelPriorConfig,
    PhraseCounts,
    log_ratio,
    said,
)
from train.methods.parts.votes import SIGNS

GROUPS = 5
SURE = 0.8
"""Least belief with which a teacher is sure of a class by shape alone."""

_HALVINGS = 20  # of the interval [0, 1] that holds t
_APART = 0.125  # nats between two levels of evidence
_LEAST_POINTS = 20  # of a class that counts: the first points that a young network is sure of are often wrong
_POOLED_POINTS = 100.0  # of each class that every group gets from all groups together
_PENALTY = 0.01  # on the squared weights of the signs, beside a mean log-likelihood
_ITERATIONS = 50  # of LBFGS


def believed(evidence: Tensor, trust: float | Tensor) -> Tensor:
    """Evidence, in nats, of phrases of which the share `trust` in [0, 1] is right. Any shape, broadcast."""
    return torch.log1p(trust * torch.expm1(evidence))


def likeliest_trust(points: Tensor, evidence: Tensor) -> float:
    """The maximum-likelihood t in [0, 1]; NaN if no class has a point.

    points (C,N): the number of points of the class that had this evidence for it.
    evidence (C,N) or (N,), in nats.
    Decision: every class has the same weight, however many points it has. Otherwise roads would decide alone.
    """
    return float(likeliest_trusts(points.unsqueeze(0), evidence, halvings=1))


def likeliest_trusts(points: Tensor, evidence: Tensor, halvings: int = 5) -> Tensor:
    """`likeliest_trust` of each of G counts, (G,) float64, without waiting for a GPU.

    points (G,C,N). evidence: as there. halvings: of the interval in one round, a divisor of 20. More of them
    take fewer operations and more memory, (2^halvings - 1) G C N numbers; the result is the same.
    """
    met = points.sum(dim=2, keepdim=True)
    share = points.double() / met.clamp(min=1)
    if evidence.dim() == 1:
        share = share.sum(dim=1, keepdim=True)  # the classes share the levels: one sum over all of them
    gain = torch.expm1(evidence.double())
    steps = torch.arange(1, 2**halvings, dtype=torch.float64, device=points.device)
    low, width = share.new_zeros(len(points)), 1.0
    for _ in range(_HALVINGS // halvings):
        width /= len(steps) + 1
        trust = (low.unsqueeze(1) + width * steps)[:, :, None, None]  # (G,T,1,1)
        # The slope of the mean log-likelihood. It falls: the likelihood is concave in t.
        slope = (share.unsqueeze(1) * gain / (1 + trust * gain).clamp(min=1e-12)).sum(dim=(2, 3))
        low = low + width * (slope > 0).sum(dim=1)
    return torch.where((met > 0).any(dim=1).squeeze(1), low + width / 2, math.nan)


def held_out_trust(phrases: PhraseCounts, config: LabelPriorConfig) -> float:
    """The trust on labelled scans: each fold is judged by the counts of the others. NaN if none can be."""
    if len(phrases.counts) < 2:
        return math.nan
    evidence = [log_ratio(phrases.without(fold), config) for fold in range(len(phrases.counts))]
    return likeliest_trust(phrases.counts.flatten(0, 1).T, torch.cat(evidence).T)


def held_out_evidence(phrases: PhraseCounts, points: LabelledVotes, config: LabelPriorConfig) -> Tensor:
    """What the phrases of labelled points say of their true class, by the other folds: (n,) in nats."""
    found = torch.zeros(len(points.label))
    for fold in range(len(phrases.counts)):
        here = points.fold == fold
        evidence = said(log_ratio(phrases.without(fold), config), points.votes[here])
        found[here] = evidence.gather(1, points.label[here, None]).squeeze(1)
    return found


class SignGroups(torch.nn.Module):
    """Which of G groups a vote belongs to, from the signs of a good vote.

    mean, weight (4,): a vote's quality is weight . (signs - mean). bounds (G-1,): between the groups.
    """

    mean: Tensor
    weight: Tensor
    bounds: Tensor

    def __init__(self, phrases: PhraseCounts | None, config: LabelPriorConfig) -> None:
        """Weigh the signs on the labelled points; without two folds of them all votes are in one group."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(len(SIGNS)), persistent=False)
        self.register_buffer("weight", torch.zeros(len(SIGNS)), persistent=False)
        self.register_buffer("bounds", torch.full((GROUPS - 1,), torch.inf), persistent=False)
        points = phrases.points if phrases is not None else None
        if phrases is None or points is None or len(phrases.counts) < 2 or not len(points.label):
            return
        signs, evidence = points.votes.signs, held_out_evidence(phrases, points, config)
        self.mean = signs.mean(dim=0)
        self.weight = sign_weights(signs, points.label, evidence)
        if bool(self.weight.any()):
            places = torch.arange(1, GROUPS) / GROUPS
            self.bounds = _quantiles((signs - self.mean) @ self.weight, places)

    def forward(self, signs: Tensor) -> Tensor:
        """The group (U,) int64 of each vote, the worst is 0. signs (U,4)."""
        return torch.bucketize((signs - self.mean) @ self.weight, self.bounds)


def sign_weights(signs: Tensor, label: Tensor, evidence: Tensor) -> Tensor:
    """The weights w (4,) float32 of the signs: t = sigmoid(b + w . (signs - mean)) is the likeliest.

    signs (n,4). label (n,) int64. evidence (n,): for the true class, in nats. A sign that is the same on all
    points weighs 0.
    Decision: every class has the same weight, as in `likeliest_trust`. A penalty holds the weights of the
    standardised signs near 0: the points of one thing are not independent, so few scans tell less than many
    points seem to.
    """
    spread = signs.double().std(dim=0, correction=0)
    varies = spread > 1e-6
    unit = torch.where(varies, (signs.double() - signs.double().mean(dim=0)) / spread.clamp(min=1e-6), 0)
    share = 1 / torch.bincount(label).clamp(min=1)[label].double()
    share = share / share.sum()
    gain = torch.expm1(evidence.double())
    unknown = torch.zeros(len(SIGNS) + 1, dtype=torch.float64, requires_grad=True)  # w of the unit signs, b
    solver = torch.optim.LBFGS([unknown], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        trust = torch.sigmoid(unit @ unknown[:-1] + unknown[-1])
        likelihood = (share * torch.log1p(trust * gain)).sum()
        value = _PENALTY * unknown[:-1].square().sum() - likelihood
        value.backward()
        return value

    with torch.enable_grad():
        solver.step(loss)
    return torch.where(varies, unknown[:-1].detach() / spread.clamp(min=1e-6), 0).float()


class UnlabelledTrust(torch.nn.Module):
    """The trust on unlabelled scans, at points where a network is sure of a class by shape alone.

    It needs no label. So it detects what no check on labelled scans can: phrases that mean something else on
    the unlabelled scans, or nothing.
    seen (G,C,N): running counts of the N levels of evidence, by group and class.
    """

    seen: Tensor
    levels: Tensor

    def __init__(self, num_classes: int, horizon: float) -> None:
        super().__init__()
        # After `horizon` batches, the weight of a batch has fallen to 1/e.
        self.decay = 1 - 1 / horizon
        self.register_buffer("levels", torch.arange(-FURTHEST, FURTHEST + _APART, _APART), persistent=False)
        self.register_buffer("seen", torch.zeros(GROUPS, num_classes, len(self.levels)))

    @torch.no_grad()
    def update(
        self, belief: Tensor, evidence: Tensor, named: Tensor, group: Tensor, confidence: float
    ) -> None:
        """Count the points that have a phrase and whose belief reaches `confidence`.

        belief (U,C). evidence (U,C), in nats: from `said`. named (U,) bool: whether a point has a phrase.
        group (U,) int64.
        """
        most, label = belief.max(dim=1)
        sure = named & (most >= confidence)
        level = evidence.gather(1, label.unsqueeze(1)).squeeze(1).clamp(-FURTHEST, FURTHEST)
        row = group * self.seen.shape[1] + label
        cell = row * len(self.levels) + ((level + FURTHEST) / _APART).round().long()
        # Whole numbers, so the order in which a GPU adds them does not matter.
        met = torch.zeros_like(self.seen).view(-1).index_add_(0, cell, sure.to(self.seen.dtype))
        self.seen.mul_(self.decay).add_(parallel.all_reduce_sum(met).view_as(self.seen))

    def estimates(self) -> tuple[Tensor, Tensor]:
        """The trust in all phrases, () float64, and in those of each group, (G,) float32; each in [0, 1].

        0 while nothing is known. Decision: a class with fewer than 20 points does not count. Every group gets
        100 points of each class from all groups together, so that a group with few points is trusted as all
        are.
        """
        pooled = self._judged(self.seen.sum(dim=0))
        typical = _POOLED_POINTS * pooled / pooled.sum(dim=1, keepdim=True).clamp(min=1)
        known = pooled.sum(dim=1, keepdim=True) > 0
        by_group = torch.where(known, self.seen + typical, 0)
        found = likeliest_trusts(torch.cat([pooled.unsqueeze(0), by_group]), self.levels).nan_to_num(0.0)
        return found[0], found[1:].to(self.seen.dtype)

    @property
    def trust(self) -> float:
        """The trust in all phrases. To read it waits for a GPU."""
        return float(self.estimates()[0])

    @property
    def by_group(self) -> Tensor:
        """The trust in each group, (G,)."""
        return self.estimates()[1]

    @staticmethod
    def _judged(seen: Tensor) -> Tensor:
        """`seen` (C,N) without the classes that have too few points."""
        return torch.where(seen.sum(dim=1, keepdim=True) >= _LEAST_POINTS, seen, 0)


class TrustCeiling(torch.nn.Module):
    """The most that phrases are trusted: what the check on unlabelled scans found before phrases taught.

    Later the teacher learns from the phrases, wrong ones too. It agrees with them more and more, and the
    estimate rises: with 30 % random phrases on the street from 0.7 to 0.9 (docs/method.md). So from then on
    it may fall, and not rise.
    Decision: it may also rise for `horizon` steps after something is known at all. The first points of which
    a network is sure are often wrong, and in a short schedule they come late.
    most () float64: the ceiling. age () int64: steps since something is known.
    """

    most: Tensor
    age: Tensor

    def __init__(self, horizon: float) -> None:
        super().__init__()
        self.horizon = horizon
        self.register_buffer("most", torch.ones((), dtype=torch.float64))
        self.register_buffer("age", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, right: Tensor, by_group: Tensor, still_rising: bool) -> tuple[Tensor, Tensor]:
        """`right` () and `by_group` (G,) of `UnlabelledTrust.estimates`, the former at most the ceiling.

        The groups fall by the same factor. still_rising: whether the weight of what phrases teach still
        rises; then, and while the estimate is young, the ceiling follows it.
        """
        self.age.add_(right > 0)
        follows = (self.age <= self.horizon) | still_rising
        self.most.copy_(torch.where(follows, right, self.most))
        factor = torch.where(right > self.most, self.most / right, 1.0)
        return factor * right, factor.to(by_group.dtype) * by_group


def _quantiles(values: Tensor, places: Tensor) -> Tensor:
    """The values (n,) below which the shares `places` of them lie."""
    # torch.quantile takes at most 16 million values.
    ordered = values.sort().values
    return ordered[(places * len(ordered)).long().clamp(max=len(ordered) - 1)]
