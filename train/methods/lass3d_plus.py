"""LASS3D+: our extension of LASS3D, not the paper's. Language is a label prior instead of an input.

Text as an input of the student improves the student and leaves the text-free teacher as it was. Here a phrase
corrects the teacher's belief on unlabelled points (train/methods/parts/label_prior.py). The result is their
pseudo-label, and a student that sees points alone learns from it:
    L = CE(labelled) + ramp lambda_u CE(unlabelled, argmax of teacher times phrase)
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat
from pydantic.dataclasses import dataclass
from torch import Tensor
from tqdm import tqdm

from lass3d_core.compute import parallel
from lass3d_core.labels import IGNORE
from lass3d_core.paper import losses
from lass3d_core.settings import SETTINGS
from train.methods.contract import Ingredients, MethodConfig, SemiBatch, Share, channels_of
from train.methods.parts.band_mix import BandMixConfig, mixed_scans
from train.methods.parts.branches import StudentAndTeacher
from train.methods.parts.label_prior import (
    LabelPriorConfig,
    PhraseCounts,
    log_ratio,
    named_class,
    posterior,
    said,
)
from train.methods.parts.phrase_trust import (
    SURE,
    SignGroups,
    TrustCeiling,
    UnlabelledTrust,
    believed,
    held_out_trust,
)
from train.methods.parts.query import QueryConfig, QueryHead
from train.methods.parts.ramp import ramp
from train.methods.parts.votes import PhraseVotes


@dataclass(frozen=True, config=SETTINGS)
class Lass3dPlusConfig(MethodConfig):
    """Defaults: chosen on the simulated street (docs/method.md). `strength: 0`: the control without text."""

    revision: ClassVar[int] = 1  # see SavedRun.record; trust stopped rising once phrases teach

    lambda_u: NonNegativeFloat = 1.0  # weight of the pseudo-labels
    labels_first: NonNegativeInt = 0  # steps on labels alone, until the teacher can correct a wrong phrase
    ramp_steps: NonNegativeInt = 2500  # steps after these over which that weight rises from 0
    tau_text: Share = 0.6  # least belief of a pseudo-label on a point with a phrase
    tau_free: Share = 0.8  # the same on a point without a phrase
    targets: Literal["product", "words"] = "product"  # words: a control, the class that a phrase names
    balanced: bool = True  # pseudo-labels have class weights, while the recipe says `as_published`

    strength: NonNegativeFloat = 1.0  # exponent of the phrase's evidence; 0 = no text
    temperature: PositiveFloat = 2.0  # of the teacher beside a phrase: it is surer than it is right
    prior: LabelPriorConfig = LabelPriorConfig()
    votes: Literal["shares", "strongest"] = "shares"  # all phrases of a voted point, or the strongest alone
    # Trust in a phrase: by the vote's margin, score, views and distance, or the same for all.
    trust: Literal["by_vote", "one"] = "by_vote"
    safety: bool = True  # phrases count as much as they prove right, and not at all if too few do
    least_trust: Share = 0.5  # share of right phrases below which the prior is off
    horizon: float = Field(default=50.0, ge=1)  # steps that the check on unlabelled scans remembers

    mix: BandMixConfig = BandMixConfig()  # labelled and unlabelled scans exchange bands; off
    query: QueryConfig = QueryConfig()  # a head for open-vocabulary queries; off

    def __post_init__(self) -> None:
        if self.targets == "words" and not self.strength:
            raise ValueError("targets=words takes the classes from the phrases, and strength=0 reads none")

    @property
    def reads_text(self) -> bool:
        """Whether the prior or the query head is on."""
        return self.strength > 0 or self.query.weight > 0

    @property
    def reads_synonyms(self) -> bool:
        """Whether the prior is on: it knows which classes the words of a phrase name."""
        return self.strength > 0


class Lass3dPlus(StudentAndTeacher):
    """Eq. (7), and Eq. (8) with the product of teacher and phrase. Student and teacher see points alone.

    Decision: how far phrases are believed is measured where the teacher has learnt no label. On labelled
    points the teacher has been trained, so it would win any comparison with the product, whatever the phrases
    say. So the share of right phrases is estimated before training on labelled scenes, each judged by the
    counts of the others, and during training on the unlabelled scans, where the teacher is sure by shape
    alone (parts/phrase_trust.py). The second estimate weighs the phrases. While either is below `least_trust`
    the prior is off and the method is identical to its control.
    """

    evidence: Tensor
    named_class: Tensor
    is_on: Tensor

    def __init__(self, config: Lass3dPlusConfig, ingredients: Ingredients) -> None:
        super().__init__(config, ingredients)
        self.weighs_pseudo_labels = config.balanced
        phrases = _phrases(config, ingredients)
        self.contradictions = phrases.contradictions if phrases is not None else ()
        evidence, named, self.held_out = _said_of(config, ingredients, phrases)
        self.register_buffer("evidence", evidence, persistent=False)
        self.register_buffer("named_class", named, persistent=False)
        self.groups = SignGroups(phrases if config.trust == "by_vote" else None, config.prior)
        self.unlabelled_trust = UnlabelledTrust(ingredients.num_classes, config.horizon)
        self.ceiling = TrustCeiling(config.horizon)
        self.register_buffer("is_on", torch.tensor(False))
        self._was_on = False
        self.query_head: QueryHead | None = None
        if config.query.weight:
            # The last to be initialised, so that the segmenter starts the same with it and without.
            channels = channels_of(self.student.backbone)
            self.query_head = QueryHead(config.query, channels, ingredients.text_dim)

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """ce_l, ce_u on the product, and ce_mix and query if they are switched on."""
        unlabelled = batch.unlabelled
        logits = self.student(batch.features, batch.pyramid)
        with torch.no_grad():
            f_teacher = self.teacher.embed(batch.features, batch.pyramid)
            teacher = self.teacher.classifier(f_teacher)[unlabelled].softmax(dim=1)
            votes = batch.votes[unlabelled]
            if self.config.votes == "strongest":
                votes = votes.alone()
            trust: dict[str, Tensor | float] = {}
            if self.config.targets == "words":
                pseudo_labels = self._named_classes(votes)
            else:
                belief, trust = self._product(teacher, votes, still_rising=self._risen(step) < 1)
                pseudo_labels = self._pseudo_labels(belief, votes.is_named)
        self.measures = _measures(batch, teacher, pseudo_labels, votes) | trust

        config, risen = self.config, self._risen(step)
        weights = self.pseudo_label_weights
        ce_u = losses.cross_entropy(logits[unlabelled], pseudo_labels, weights)
        terms = {
            "ce_l": losses.cross_entropy(logits, batch.labels, self.class_weights),
            "ce_u": risen * config.lambda_u * ce_u,
        }
        if config.mix.weight:
            terms["ce_mix"] = risen * self._mixed(batch, pseudo_labels, weights, step)
        if self.query_head is not None:
            # The teacher's features are the ones that are queried later. They have no gradient, so the query
            # does not change the segmentation.
            counts = batch.counts.named, batch.counts.captioned
            matching = self.query_head.loss(f_teacher, batch.image, batch.entity, batch.texts, counts)
            terms["query"] = config.query.weight * matching
        return terms

    def _mixed(self, batch: SemiBatch, pseudo_labels: Tensor, weights: Tensor | None, step: int) -> Tensor:
        """The cross-entropy on scans in which labelled and text-corrected bands lie side by side."""
        rows, features, pyramid = mixed_scans(batch, self.config.mix, step)
        targets = torch.cat([batch.labels[batch.labelled], pseudo_labels])[rows]
        cross_entropy = losses.cross_entropy(self.student(features, pyramid), targets, weights)
        return self.config.mix.weight * cross_entropy

    def _risen(self, step: int) -> float:
        """The factor of what pseudo-labels teach in `step`."""
        return ramp(step - self.config.labels_first, self.config.ramp_steps)

    def _product(
        self, teacher: Tensor, votes: PhraseVotes, still_rising: bool
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The belief (U,C): teacher (U,C) times what its phrases say, as far as they are trusted.

        Returns two measures, too: the share of phrases that prove right, and the trust in them, which is 0
        while the prior is off. Whether it is on is decided on the device, so that nothing waits for it.
        """
        config = self.config
        if not config.strength:
            return teacher, {"phrase_trust": 0.0}
        evidence = said(self.evidence, votes)
        if not config.safety:
            belief = posterior(teacher, evidence, votes.is_named, config.strength, config.temperature)
            return belief, {"phrase_trust": 1.0}
        group = self.groups(votes.signs)
        self.unlabelled_trust.update(teacher, evidence, votes.is_named, group, SURE)
        right, by_group = self.ceiling(*self.unlabelled_trust.estimates(), still_rising)
        is_on = (right >= config.least_trust) & (not self._is_refused)
        evidence = believed(evidence, by_group[group].unsqueeze(1))
        temperature = self._temperature(right)
        product = posterior(teacher, evidence, votes.is_named, config.strength, temperature)
        belief = torch.where(is_on, product, teacher)
        self.is_on.copy_(is_on)
        return belief, {"phrase_trust": torch.where(is_on, right, 0.0), "phrases_right": right}

    def _temperature(self, right: Tensor) -> Tensor:
        """The teacher's temperature beside phrases of which the share `right` (scalar) proves right.

        Decision: T - 1 falls to 0 as the share of right phrases falls to a half. A tempered teacher lets a
        phrase overrule it. Of phrases that are often wrong Bayes' rule, T = 1, is enough.
        """
        return 1 + (self.config.temperature - 1) * (2 * right - 1).clamp(min=0).float()

    def _named_classes(self, votes: PhraseVotes) -> Tensor:
        """The class that the phrase of each voxel names, whatever the teacher says; IGNORE for none."""
        return torch.cat([self.named_class, self.named_class.new_full((1,), IGNORE)])[votes.strongest]

    def _pseudo_labels(self, belief: Tensor, named: Tensor) -> Tensor:
        most, label = belief.max(dim=1)
        least = torch.where(named, self.config.tau_text, self.config.tau_free)
        return label.masked_fill(most < least, IGNORE)

    @property
    def _is_refused(self) -> bool:
        """Whether too few phrases prove right on held-out labelled scans. Nothing changes that."""
        return self.held_out < self.config.least_trust

    def hear(self, step: int, measured: Sequence[Mapping[str, float]]) -> None:
        """Print when the prior turns on or off, and at the start which names the labels contradict.

        A resumed run says again that it is on.
        """
        least = self.config.least_trust
        if step == 0:
            for line in self.contradictions:
                _say(line)
            if self._is_refused and self.config.safety and self.config.targets == "product":
                _say(_NEVER.format(held_out=self.held_out, least=least))
        for right in (one["phrases_right"] for one in measured if "phrases_right" in one):
            is_on = not self._is_refused and right >= least
            if is_on != self._was_on:
                _say(_SWITCHED[is_on].format(step=step, trust=right, least=least))
            self._was_on = is_on


_SWITCHED = {
    True: "step {step}: the label prior is on: on unlabelled scans {trust:.0%} of the phrases prove right",
    False: "step {step}: the label prior is OFF: on unlabelled scans {trust:.0%} of the phrases prove right, "
    "{least:.0%} must",
}
_NEVER = (
    "the label prior stays OFF: on held-out labelled scans {held_out:.0%} of the phrases prove right, "
    "{least:.0%} must; look at `make audit`"
)


def _phrases(config: Lass3dPlusConfig, ingredients: Ingredients) -> PhraseCounts | None:
    return ingredients.phrase_counts() if config.strength and ingredients.phrase_counts is not None else None


def _said_of(
    config: Lass3dPlusConfig, ingredients: Ingredients, phrases: PhraseCounts | None
) -> tuple[Tensor, Tensor, float]:
    """The evidence (P,C) and the named class (P,) from all labelled scans; the trust on held-out ones."""
    if phrases is None:
        return torch.empty(0, ingredients.num_classes), torch.empty(0, dtype=torch.int64), math.nan
    prior = config.prior
    return log_ratio(phrases, prior), named_class(phrases), held_out_trust(phrases, prior)


def _measures(
    batch: SemiBatch, teacher: Tensor, pseudo_labels: Tensor, votes: PhraseVotes
) -> dict[str, Tensor | float]:
    kept = pseudo_labels != IGNORE
    changed = kept & (pseudo_labels != teacher.argmax(dim=1))
    count = max(1, len(votes))
    return {
        "ce_l_points": batch.labelled_points,
        "ce_u_points": kept.sum(),
        "text_share": votes.is_named.sum() / count,
        "kept_share": kept.sum() / count,
        "changed_share": changed.sum() / count,
    }


def _say(line: str) -> None:
    """Print above the progress bar, in one of the processes."""
    if parallel.rank() == 0:
        tqdm.write(line, file=sys.stderr)
