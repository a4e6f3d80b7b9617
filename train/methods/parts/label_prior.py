"""Language as a label prior: what the phrase on a point says about its class, and how far to believe it.

Not the paper's: our extension, which stands alone so that any method with pseudo-labels can use it. Points
that carry the same phrase are counted by class on labelled scans, P(class | phrase) is what they say, and on
an unlabelled point that has a phrase the belief of a network becomes

    q(c) ~ belief(c | x)^(1/T) * P(c | phrase) / prior(c),

which for T = 1 is Bayes' rule where phrase and shape err independently given the class. Nothing here asks for
text at test time: the product makes targets, and a network of points alone learns them.
Letters: K folds of the labelled scans, P phrases of the text table, C classes, D text dimension, U points.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PhraseCounts:
    """What the labelled scans say of phrases, in folds so that one part can be held out from another.

    counts (K,P,C) float32: labelled points in fold k that carry phrase p and are of class c.
    rows (P,D) float32: the text embedding of each phrase. named (P,) int64: the class whose name is in the
    phrase, -1 for most.
    """

    counts: Tensor
    rows: Tensor
    named: Tensor


@dataclass(frozen=True)
class LabelPriorConfig:
    """How counts become P(class | phrase). Defaults: chosen on the simulated street, see docs/method.md."""

    phrase_points: float = 30.0  # points of the general expectation that every phrase is given to begin with
    class_points: float = 10.0  # points without evidence either way that every class is given
    min_cosine: float = 0.5  # least similarity of a phrase whose counts another one borrows; 1 = none
    names: bool = True  # phrases that name a class vouch for it, and for phrases like them
    temperature: float = 0.1  # of the softmax over similarities

    def __post_init__(self) -> None:
        for name in ("phrase_points", "temperature"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.class_points < 0:
            raise ValueError(f"class_points must not be negative, got {self.class_points}")
        if not -1 <= self.min_cosine <= 1:
            raise ValueError(f"min_cosine must lie in [-1, 1], got {self.min_cosine}")


def log_ratio(counts: Tensor, phrases: PhraseCounts, config: LabelPriorConfig) -> Tensor:
    """log P(class | phrase) / prior(class), (P,C) float32, from counts (P,C) of some of the folds.

    P(class | phrase) is the counts plus `phrase_points` points of what is expected of a phrase unseen: the
    mean of the class prior and of what like phrases say. With `names`, what the names of classes say of a
    phrase is added, and weighs less the more points of the phrase have been counted.
    Decision: the prior is that of the points which carry a phrase. The network's belief holds the general
    one, and only the surprise in a phrase is to be added to it.
    Decision: of a class seen on n points with a phrase, the counts' ratio keeps n / (n + class_points) of its
    distance to 1. Else a class that the cameras never met on the labelled scans would be excluded wherever
    there is a phrase. Names are not held back so: they are all that speaks for such a class.
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


def posterior(
    belief: Tensor, evidence: Tensor, phrase: Tensor, strength: float = 1.0, temperature: float = 1.0
) -> Tensor:
    """belief (U,C)^(1/temperature) times exp(evidence of the phrase)^strength, renormalised, (U,C).

    evidence (P,C): `log_ratio`. phrase (U,) int64: its row, -1 for a point without phrase, which keeps its
    belief as it is.
    """
    tempered = belief.clamp(min=torch.finfo(belief.dtype).tiny).log() / torch.where(
        phrase >= 0, temperature, 1.0
    ).unsqueeze(1)
    neutral = torch.cat([evidence, evidence.new_zeros(1, evidence.shape[1])])
    return (tempered + strength * neutral[phrase]).softmax(dim=1)


def _borrowed(counts: Tensor, unit: Tensor, prior: Tensor, config: LabelPriorConfig) -> list[Tensor]:
    """What the other phrases say (P,C), by likeness of the unit rows (P,D); the prior where none is alike.

    An empty list when no phrase at all has another one like it.
    """
    lenders = counts.sum(dim=1).nonzero().squeeze(1)
    cosine = unit @ unit[lenders].T
    cosine[lenders, torch.arange(len(lenders))] = -torch.inf  # nobody borrows from themselves
    likeness = torch.where(cosine >= config.min_cosine, (cosine / config.temperature).exp(), 0)
    mass = likeness.sum(dim=1, keepdim=True)
    if not bool(mass.any()):
        return []
    lent = likeness @ (counts[lenders] / counts[lenders].sum(dim=1, keepdim=True))
    return [torch.where(mass > 0, lent / torch.where(mass > 0, mass, 1), prior)]


def _by_name(unit: Tensor, named: Tensor, classes: int, temperature: float) -> Tensor:
    """What the K classes that some phrase of the table names say of each phrase: log ratios (P,C), else 0.

    A class is as like a phrase as the likest of the phrases that name it; s, the softmax over the K classes,
    becomes log((1 + K s) / 2): half of it is doubt.
    """
    told = unit.new_zeros(len(unit), classes)
    vouched = named[named >= 0].unique()
    if len(vouched):
        likeness = [(unit @ unit[named == one].T).amax(dim=1) for one in vouched]
        share = (torch.stack(likeness, dim=1) / temperature).softmax(dim=1)
        told[:, vouched] = torch.log((1 + len(vouched) * share) / 2)
    return told
