"""LASS3D+: our extension of LASS3D, not the paper's. Language is a label prior instead of an input.

Text as an input of the student improves the student and leaves the text-free teacher as it was. Here a phrase
corrects the teacher's belief on unlabelled points (train/methods/parts/label_prior.py). The result is their
pseudo-label, and a student that sees points alone learns from it:
    L = CE(labelled) + ramp lambda_u CE(unlabelled, argmax of teacher times phrase)
"""

from __future__ import annotations

import math
import sys

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat
from pydantic.dataclasses import dataclass
from torch import Tensor
from tqdm import tqdm

from lass3d_core.compute import parallel
from lass3d_core.labels import IGNORE
from lass3d_core.paper import losses
from lass3d_core.records import NONE
from lass3d_core.settings import SETTINGS
from train.methods.contract import Ingredients, MethodConfig, SemiBatch, Share, channels_of
from train.methods.parts.band_mix import BandMixConfig, mixed_scans
from train.methods.parts.branches import StudentAndTeacher
from train.methods.parts.label_prior import LabelPriorConfig, log_ratio, posterior
from train.methods.parts.phrase_trust import UnlabelledTrust, believed, held_out_trust
from train.methods.parts.query import QueryConfig, QueryHead


@dataclass(frozen=True, config=SETTINGS)
class Lass3dPlusConfig(MethodConfig):
    """Defaults: chosen on the simulated street (docs/method.md). `strength: 0`: the control without text."""

    lambda_u: NonNegativeFloat = 1.0  # weight of the pseudo-labels
    ramp_steps: NonNegativeInt = 2500  # steps over which that weight rises from 0; a tenth of the schedule
    tau_text: Share = 0.8  # least belief of a pseudo-label on a point with a phrase
    tau_free: Share = 0.8  # the same on a point without a phrase
    balanced: bool = True  # pseudo-labels are weighted by class as the labels are

    strength: NonNegativeFloat = 1.0  # exponent of the phrase's evidence; 0 = no text
    temperature: PositiveFloat = 2.0  # of the teacher beside a phrase: it is surer than it is right
    prior: LabelPriorConfig = LabelPriorConfig()
    safety: bool = True  # phrases count as much as they prove right, and not at all if too few do
    least_trust: Share = 0.5  # share of right phrases below which the prior is off
    horizon: float = Field(default=50.0, ge=1)  # steps that the check on unlabelled scans remembers

    mix: BandMixConfig = BandMixConfig()  # labelled and unlabelled scans exchange bands; off
    query: QueryConfig = QueryConfig()  # a head for open-vocabulary queries; off

    @property
    def reads_text(self) -> bool:
        """Whether the prior or the query head is on."""
        return self.strength > 0 or self.query.weight > 0


class Lass3dPlus(StudentAndTeacher):
    """Eq. (7), and Eq. (8) with the product of teacher and phrase. Student and teacher see points alone.

    Decision: how far phrases are believed is measured where the teacher has learnt no label. On labelled
    points the teacher has been trained, so it would win any comparison with the product, whatever the phrases
    say. So the share of right phrases is estimated twice (parts/phrase_trust.py). Before training: on
    labelled scans, each judged by the counts of the others. During training: on the unlabelled scans, where
    the teacher is sure by shape alone. The second estimate weighs the phrases. While either is below
    `least_trust` the prior is off and the method is identical to its control.
    """

    evidence: Tensor
    is_on: Tensor

    def __init__(self, config: Lass3dPlusConfig, ingredients: Ingredients) -> None:
        super().__init__(config, ingredients)
        evidence, self.held_out = _evidence(config, ingredients)
        self.register_buffer("evidence", evidence, persistent=False)
        self.unlabelled_trust = UnlabelledTrust(ingredients.num_classes, config.horizon)
        self.register_buffer("is_on", torch.tensor(False))
        self.query_head: QueryHead | None = None
        if config.query.weight:
            # The last to be initialised, so that the segmenter starts the same with it and without.
            channels = channels_of(self.student.backbone)
            self.query_head = QueryHead(config.query, channels, ingredients.text_dim)

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """ce_l, ce_u on the product, and ce_mix and query if they are switched on."""
        unlabelled = ~batch.is_labelled
        logits = self.student(batch.features, batch.pyramid)
        with torch.no_grad():
            f_teacher = self.teacher.embed(batch.features, batch.pyramid)
            teacher = self.teacher.classifier(f_teacher)[unlabelled].softmax(dim=1)
            phrase = batch.phrase[unlabelled]
            trust = self._trust(teacher, phrase, step)
            pseudo_labels = self._pseudo_labels(self._product(teacher, phrase, trust), phrase)
        self.measures = _measures(batch, teacher, pseudo_labels, phrase) | {"phrase_trust": trust}

        config, ramp = self.config, min(1.0, (step + 1) / max(1, self.config.ramp_steps))
        weights = self.class_weights if config.balanced else None
        terms = {
            "ce_l": losses.cross_entropy(logits, batch.labels, self.class_weights),
            "ce_u": ramp * config.lambda_u * losses.cross_entropy(logits[unlabelled], pseudo_labels, weights),
        }
        if config.mix.weight:
            terms["ce_mix"] = ramp * self._mixed(batch, pseudo_labels, weights, step)
        if self.query_head is not None:
            # The teacher's features are the ones that are queried later. They have no gradient, so the query
            # does not change the segmentation.
            matching = self.query_head.loss(f_teacher, batch.image, batch.entity, batch.texts)
            terms["query"] = config.query.weight * matching
        return terms

    def _mixed(self, batch: SemiBatch, pseudo_labels: Tensor, weights: Tensor | None, step: int) -> Tensor:
        """The cross-entropy on scans in which labelled and text-corrected bands lie side by side."""
        rows, features, pyramid = mixed_scans(batch, self.config.mix, step)
        targets = batch.labels.masked_scatter(~batch.is_labelled, pseudo_labels)[rows]
        cross_entropy = losses.cross_entropy(self.student(features, pyramid), targets, weights)
        return self.config.mix.weight * cross_entropy

    def _product(self, teacher: Tensor, phrase: Tensor, trust: float) -> Tensor:
        """The belief (U,C): teacher (U,C) times what its phrase (U,) says, as far as phrases are trusted."""
        if not trust:
            return teacher
        evidence = believed(self.evidence, trust)
        return posterior(teacher, evidence, phrase, self.config.strength, self.config.temperature)

    def _pseudo_labels(self, belief: Tensor, phrase: Tensor) -> Tensor:
        most, label = belief.max(dim=1)
        least = torch.where(phrase == NONE, self.config.tau_free, self.config.tau_text)
        return label.masked_fill(most < least, IGNORE)

    def _trust(self, teacher: Tensor, phrase: Tensor, step: int) -> float:
        """The share of phrases that is believed, 0 while the prior is off. Prints when it turns on or off."""
        config = self.config
        if not config.strength:
            return 0.0
        if not config.safety:
            return 1.0
        self.unlabelled_trust.update(teacher, self.evidence, phrase, config.tau_free)
        trust, refused = self.unlabelled_trust.trust, self.held_out < config.least_trust
        is_on = not refused and trust >= config.least_trust
        if is_on != bool(self.is_on):
            _say(_SWITCHED[is_on].format(step=step, trust=trust, least=config.least_trust))
        elif step == 0 and refused:
            _say(_NEVER.format(held_out=self.held_out, least=config.least_trust))
        self.is_on.fill_(is_on)
        return trust if is_on else 0.0


_SWITCHED = {
    True: "step {step}: the label prior is on: on unlabelled scans {trust:.0%} of the phrases prove right",
    False: "step {step}: the label prior is OFF: on unlabelled scans {trust:.0%} of the phrases prove right, "
    "{least:.0%} must",
}
_NEVER = (
    "the label prior stays OFF: on held-out labelled scans {held_out:.0%} of the phrases prove right, "
    "{least:.0%} must; look at `make audit`"
)


def _evidence(config: Lass3dPlusConfig, ingredients: Ingredients) -> tuple[Tensor, float]:
    """log P(class | phrase) / prior (P,C) from all labelled scans, and the trust on held-out ones."""
    if not config.strength or ingredients.phrase_counts is None:
        return torch.empty(0, ingredients.num_classes), math.nan
    phrases = ingredients.phrase_counts()
    evidence = log_ratio(phrases.counts.sum(dim=0), phrases, config.prior)
    return evidence, held_out_trust(phrases, config.prior)


def _measures(batch: SemiBatch, teacher: Tensor, pseudo_labels: Tensor, phrase: Tensor) -> dict[str, float]:
    kept = pseudo_labels != IGNORE
    changed = kept & (pseudo_labels != teacher.argmax(dim=1))
    count = max(1, len(phrase))
    return {
        "ce_l_points": batch.labelled_points,
        "ce_u_points": float(kept.sum()),
        "text_share": float((phrase != NONE).sum()) / count,
        "kept_share": float(kept.sum()) / count,
        "changed_share": float(changed.sum()) / count,
    }


def _say(line: str) -> None:
    """Print above the progress bar, in one of the processes."""
    if parallel.rank() == 0:
        tqdm.write(line, file=sys.stderr)
