"""Language as a label prior: what the phrases on a point say about its class.

Our extension, not the paper's. Any method with pseudo-labels can use it. On labelled scans, the points with
the same phrase are counted by class, which gives P(class | phrase). On an unlabelled point with a phrase, the
network's belief becomes

    q(c) ~ belief(c | x)^(1/T) * P(c | phrase) / prior(c).

For T = 1 this is Bayes' rule, if phrase and shape are independent given the class. No text is needed at test
time: the product makes targets, and a network that sees points alone learns them.

If views have voted, a point has several phrases with shares s. Then P(c | phrase) / prior(c) is the mean of
its phrases' ratios by their shares, and a ratio of 1 for what is left of the votes.
How far phrases are trusted is the matter of phrase_trust.py.
Letters: K folds of the labelled scans, P phrases of the text table, C classes, D text dimension, U points.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from pydantic.dataclasses import dataclass
from torch import Tensor

from lass3d_core.settings import SETTINGS
from train.methods.parts.votes import PhraseVotes


class LabelledVotes(NamedTuple):
    """The votes on n points of known class.

    fold (n,) int64: the fold of the point's scan. label (n,) int64: its class. votes: n points with a phrase.
    """

    fold: Tensor
    label: Tensor
    votes: PhraseVotes


class PhraseCounts(NamedTuple):
    """Counts of phrases on labelled scans, in folds, so that a fold can be held out.

    counts (K,P,C) float32: labelled points in fold k that have phrase p and class c. A point with several
        phrases is divided among them by their shares.
    rows (P,D) float32: the text embedding of each phrase.
    named (P,) int64: the class whose name is in the phrase, -1 for none.
    points: some of the counted points; None if they are not known one by one.
    """

    counts: Tensor
    rows: Tensor
    named: Tensor
    points: LabelledVotes | None = None


@dataclass(frozen=True, config=SETTINGS)
class LabelPriorConfig:
    """How counts become P(class | phrase). Defaults: chosen on the simulated street, see docs/method.md."""

    phrase_points: PositiveFloat = 30.0  # points of the expectation that every phrase gets: see `log_ratio`
    class_points: NonNegativeFloat = 10.0  # points without evidence that every class gets
    min_cosine: float = Field(default=0.5, ge=-1, le=1)  # least similarity of lenders of counts; 1 = none
    names: bool = True  # a class name in a phrase is evidence for the class, also for similar phrases
    temperature: PositiveFloat = 0.1  # of the softmax over similarities


def log_ratio(counts: Tensor, phrases: PhraseCounts, config: LabelPriorConfig) -> Tensor:
    """The evidence log P(class | phrase) / prior(class), (P,C) float32, in nats.

    counts (P,C): of some of the folds.
    P(class | phrase) comes from the counts plus `phrase_points` points of the expectation for an unseen
    phrase: the mean of the class prior and of what similar phrases say. With `names`, evidence from the names
    of classes is added. It weighs less, the more points of the phrase have been counted.
    Decision: the prior is taken over the points that have a phrase. The network's belief contains the general
    prior already.
    Decision: for a class seen on n points with a phrase, the counts' ratio keeps n / (n + class_points) of
    its distance to 1. Otherwise a class that the cameras never saw on the labelled scans would be excluded
    from every point with a phrase. Evidence from names is not reduced: such a class has no other.
    """
    of_class, of_phrase = counts.sum(dim=0), counts.sum(dim=1, keepdim=True)
    prior = (of_class + 1) / (of_class + 1).sum()
    unit = torch.nn.functional.normalize(phrases.rows, dim=1)
    expected = [prior.expand_as(counts), *_borrowed(counts, unit, prior, config)]
    mean = torch.stack(expected).mean(dim=0)
    posterior = (counts + config.phrase_points * mean) / (of_phrase + config.phrase_points)
    seen = of_class / (of_class + config.class_points).clamp(min=1)
    counted = torch.log(1 + seen * (posterior / prior - 1))
    if not config.names:
        return counted
    unknown = config.phrase_points / (of_phrase + config.phrase_points)
    return counted + unknown * _by_name(unit, phrases.named, counts.shape[1], config.temperature)


def said(evidence: Tensor, votes: PhraseVotes) -> Tensor:
    """What the phrases of U points say of their class, (U,C) in nats; 0 where there is no phrase.

    evidence (P,C): of each phrase, from `log_ratio`.
    """
    none = evidence.new_zeros(1, evidence.shape[1])  # index -1
    gain = torch.cat([torch.expm1(evidence), none])[votes.phrase]  # (U,K,C)
    return torch.log1p((votes.share.unsqueeze(2) * gain).sum(dim=1))


def posterior(
    belief: Tensor, evidence: Tensor, named: Tensor, strength: float = 1.0, temperature: float = 1.0
) -> Tensor:
    """belief^(1/temperature) * exp(strength * evidence of the point), renormalised, (U,C).

    belief (U,C). evidence (U,C): from `said`. named (U,) bool: whether the point has a phrase.
    A point without one keeps its belief.
    """
    log_belief = belief.clamp(min=torch.finfo(belief.dtype).tiny).log()
    tempered = log_belief / torch.where(named, temperature, 1.0).unsqueeze(1)
    return (tempered + strength * evidence).softmax(dim=1)


def _borrowed(counts: Tensor, unit: Tensor, prior: Tensor, config: LabelPriorConfig) -> list[Tensor]:
    """P(class | similar phrases) (P,C), weighted by the similarity of the unit rows (P,D).

    The prior for a phrase without a similar one. An empty list if no phrase has a similar one.
    """
    lenders = counts.sum(dim=1).nonzero().squeeze(1)
    cosine = unit @ unit[lenders].T
    cosine[lenders, torch.arange(len(lenders))] = -torch.inf  # no phrase borrows from itself
    likeness = torch.where(cosine >= config.min_cosine, (cosine / config.temperature).exp(), 0)
    mass = likeness.sum(dim=1, keepdim=True)
    if not bool(mass.any()):
        return []
    lent = likeness @ (counts[lenders] / counts[lenders].sum(dim=1, keepdim=True))
    return [torch.where(mass > 0, lent / torch.where(mass > 0, mass, 1), prior)]


def _by_name(unit: Tensor, named: Tensor, classes: int, temperature: float) -> Tensor:
    """The evidence (P,C) from class names, for the K classes that some phrase of the table names; else 0.

    The similarity of a class to a phrase is the largest similarity of a phrase that names the class. s is the
    softmax of it over the K classes. The evidence is log((1 + K s) / 2): half of the ratio is doubt.
    """
    evidence = unit.new_zeros(len(unit), classes)
    known = named[named >= 0].unique()
    if len(known):
        likeness = [(unit @ unit[named == one].T).amax(dim=1) for one in known]
        share = (torch.stack(likeness, dim=1) / temperature).softmax(dim=1)
        evidence[:, known] = torch.log((1 + len(known) * share) / 2)
    return evidence
