"""Language as a label prior: what the phrases on a point say about its class.

Our extension, not the paper's. Any method with pseudo-labels can use it. P(class | phrase) comes from the
classes that the words of a phrase name, and from the points of labelled scenes that have the phrase. On an
unlabelled point with a phrase, the network's belief becomes

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

from lass3d_core.labels import IGNORE
from lass3d_core.settings import SETTINGS
from train.methods.parts.votes import PhraseVotes

FURTHEST = 6.0
"""Nats; no phrase says more."""

_LEAST_SHARE = 0.002  # of the points with a phrase, for every class
_SMALL = 1e-6  # of a vote, so that without any vote the ratio is 1


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
    scenes (K,P,C) float32: the votes of the scenes of fold k, see `log_ratio`.
    rows (P,D) float32: the text embedding of each phrase.
    means (P,C) bool: the classes that the words of the phrase name.
    points: some of the counted points; None if they are not known one by one.
    contradictions: a line for each phrase whose words name classes that the labels contradict.
    """

    counts: Tensor
    scenes: Tensor
    rows: Tensor
    means: Tensor
    points: LabelledVotes | None = None
    contradictions: tuple[str, ...] = ()

    def without(self, fold: int) -> PhraseCounts:
        """The same without the counts of a fold."""
        others = [number for number in range(len(self.counts)) if number != fold]
        return self._replace(counts=self.counts[others], scenes=self.scenes[others], points=None)


SCENE_POINTS = 30.0
"""Labelled points of a phrase with which a scene has half a vote on the phrase."""


def scene_votes(counts: Tensor) -> Tensor:
    """The votes (P,C) of one scene: the shares of the classes among its points of a phrase.

    counts (P,C): of the scene. With n points of a phrase it has n / (n + 30) of a vote on it.
    """
    return counts / (counts.sum(dim=1, keepdim=True) + SCENE_POINTS)


@dataclass(frozen=True, config=SETTINGS)
class LabelPriorConfig:
    """How names and counts become P(class | phrase). docs/method.md says how the defaults were chosen."""

    language: NonNegativeFloat = 1.0  # votes of what a phrase means in the language, against one per scene
    similar: NonNegativeFloat = 1.0  # votes of the counts of similar phrases
    doubt: float = Field(default=0.3, ge=0, le=1)  # share of a phrase's points that are of any class
    names: bool = True  # words name classes; without it the language knows nothing
    min_cosine: float = Field(default=0.5, ge=-1, le=1)  # least similarity of lenders of counts; 1 = none
    class_points: NonNegativeFloat = 10.0  # points without evidence that every class gets
    temperature: PositiveFloat = 0.1  # of the softmax over similarities


def log_ratio(phrases: PhraseCounts, config: LabelPriorConfig) -> Tensor:
    """The evidence log P(class | phrase) / prior(class), (P,C) float32, in nats, at most +-6.

    Names lead, counts correct. What the words of a phrase mean holds everywhere; what the points of a few
    labelled scenes say may hold there alone. So the language has `language` votes on a phrase, and every
    scene has one, however many points it has:
        P(c | p) = (language L(c | p) + the scenes' votes + similar B(c | p)) / the sum of these votes
    L: with the share `doubt` the prior, otherwise the named classes by their prior, see `_meant`. B: what
    similar phrases have been counted for, see `_lent`.
    Decision: the prior is taken over the points that have a phrase. The network's belief contains the general
    prior already.
    Decision: for a class seen on n points with a phrase, a ratio below 1 keeps n / (n + class_points) of its
    distance to 1. Otherwise a class that the cameras never saw on the labelled scans would be excluded from
    every point with a phrase.
    """
    counts = phrases.counts.sum(dim=0)
    ratio = meaning_of(phrases, config) / _prior(counts.sum(dim=0))
    of_class = counts.sum(dim=0)
    seen = of_class / (of_class + config.class_points).clamp(min=1)
    ratio = torch.where(ratio < 1, 1 + seen * (ratio - 1), ratio)
    return ratio.log().clamp(-FURTHEST, FURTHEST)


def meaning_of(phrases: PhraseCounts, config: LabelPriorConfig) -> Tensor:
    """P(class | phrase) (P,C): see `log_ratio`."""
    counts, scenes = phrases.counts.sum(dim=0), phrases.scenes.sum(dim=0)
    prior = _prior(counts.sum(dim=0))
    unit = torch.nn.functional.normalize(phrases.rows, dim=1)
    language = config.doubt * prior + (1 - config.doubt) * _meant(phrases, unit, prior, config)
    votes = (
        config.language * language + scenes + config.similar * _lent(counts, unit, config) + _SMALL * prior
    )
    return votes / votes.sum(dim=1, keepdim=True)


def named_class(phrases: PhraseCounts) -> Tensor:
    """The class that the words of each phrase name, (P,) int64; IGNORE for none.

    Of several the one with most labelled points.
    """
    of_class = phrases.counts.sum(dim=(0, 1))
    label = torch.where(phrases.means, of_class, -1).argmax(dim=1)
    return label.masked_fill(~phrases.means.any(dim=1), IGNORE)


def said(evidence: Tensor, votes: PhraseVotes) -> Tensor:
    """What the phrases of U points say of their class, (U,C) in nats; 0 where there is no phrase.

    evidence (P,C): of each phrase, from `log_ratio`.
    """
    none = evidence.new_zeros(1, evidence.shape[1])  # index -1
    gain = torch.cat([torch.expm1(evidence), none])[votes.phrase]  # (U,K,C)
    return torch.log1p((votes.share.unsqueeze(2) * gain).sum(dim=1))


def posterior(
    belief: Tensor,
    evidence: Tensor,
    named: Tensor,
    strength: float = 1.0,
    temperature: float | Tensor = 1.0,
) -> Tensor:
    """belief^(1/temperature) * exp(strength * evidence of the point), renormalised, (U,C).

    belief (U,C). evidence (U,C): from `said`. named (U,) bool: whether the point has a phrase.
    A point without one keeps its belief.
    """
    log_belief = belief.clamp(min=torch.finfo(belief.dtype).tiny).log()
    tempered = log_belief / torch.where(named, temperature, 1.0).unsqueeze(1)
    return (tempered + strength * evidence).softmax(dim=1)


def _prior(of_class: Tensor) -> Tensor:
    """P(class) (C,) from points (C,), of which every class gets 0.2 %.

    Decision: a class that no labelled scan shows is rare, and not impossible.
    """
    total = of_class.sum().clamp(min=1)
    smoothed = of_class + _LEAST_SHARE * total
    return smoothed / smoothed.sum()


def _meant(phrases: PhraseCounts, unit: Tensor, prior: Tensor, config: LabelPriorConfig) -> Tensor:
    """What the phrases mean in the language, as distributions (P,C). unit (P,D): their unit rows.

    The classes that its words name, each by its prior: "tree" may be vegetation or trunk, and which of them
    is the matter of the network. If the words name none: what the most similar names say.
    """
    if not config.names:
        return prior.expand(len(unit), -1)
    is_named = phrases.means.any(dim=1, keepdim=True)
    likeness = torch.where(
        is_named, phrases.means.float(), _likeness(unit, phrases.means, config.temperature)
    )
    meant = likeness * prior
    return meant / meant.sum(dim=1, keepdim=True)


def _likeness(unit: Tensor, means: Tensor, temperature: float) -> Tensor:
    """How much better than by chance the K classes that some phrase names fit to a phrase, (P,C).

    The similarity of a class to a phrase is the largest cosine of a phrase that names the class. The value is
    K times the softmax of it over the K classes; 1 for classes that no phrase names.
    """
    found = unit.new_ones(means.shape)
    known = means.any(dim=0).nonzero().squeeze(1)
    if len(known):
        cosine = [(unit @ unit[means[:, one]].T).amax(dim=1) for one in known]
        found[:, known] = len(known) * (torch.stack(cosine, dim=1) / temperature).softmax(dim=1)
    return found


def _lent(counts: Tensor, unit: Tensor, config: LabelPriorConfig) -> Tensor:
    """What similar phrases have been counted for: a vote (P,C), or none where no phrase is similar.

    counts (P,C). The lenders are weighted by the similarity of their unit rows (P,D).
    """
    lenders = counts.sum(dim=1).nonzero().squeeze(1)
    cosine = unit @ unit[lenders].T
    cosine[lenders, torch.arange(len(lenders))] = -torch.inf  # no phrase borrows from itself
    likeness = torch.where(cosine >= config.min_cosine, (cosine / config.temperature).exp(), 0)
    mass = likeness.sum(dim=1, keepdim=True)
    lent = likeness @ (counts[lenders] / counts[lenders].sum(dim=1, keepdim=True))
    return lent / torch.where(mass > 0, mass, 1)
