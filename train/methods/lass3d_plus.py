"""lass3d_plus: our extension of LASS3D, not the paper's. Language is no input but a label prior.

Text as an input of the student lifts the student and leaves the text-free teacher where it was. Here a phrase
corrects the teacher's belief on unlabelled points (train/methods/parts/label_prior.py), the result is their
pseudo-label, and a student that sees points alone learns from it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lass3d_core.compute import parallel
from lass3d_core.labels import IGNORE
from lass3d_core.paper import ema, losses
from lass3d_core.paper.exploitation import ExploitationConfig, exploitation
from lass3d_core.records import NONE
from lass3d_core.sparse.maps import build_pyramid
from train.methods.contract import Ingredients, SemiBatch
from train.methods.parts.band_mix import BandMixConfig, mixed, pairs_of
from train.methods.parts.label_prior import LabelPriorConfig, log_ratio, posterior
from train.methods.parts.phrase_trust import UnlabelledTrust, believed, held_out_trust
from train.methods.parts.query import QueryConfig, QueryHead
from train.methods.parts.text_branch import TextBranch, TextBranchConfig, without_dropped


@dataclass(frozen=True)
class Lass3dPlusConfig:
    """Defaults: chosen on the simulated street (docs/method.md). `strength: 0`: the control without text."""

    alpha: float = 0.999  # horizon of the teacher, Eq. (1); as the paper's
    lambda_u: float = 1.0  # weight of the pseudo-labels
    ramp_steps: int = 2500  # steps over which that weight rises from 0; a tenth of the schedule
    tau_text: float = 0.8  # least belief of a pseudo-label on a point with a phrase
    tau_free: float = 0.8  # the same on a point without
    balanced: bool = True  # pseudo-labels are weighted by class as the labels are

    strength: float = 1.0  # exponent of the phrase's evidence; 0 = no text
    temperature: float = 2.0  # beside a phrase: the teacher is surer than it is right, and would veto it
    prior: LabelPriorConfig = field(default_factory=LabelPriorConfig)
    safety: bool = True  # phrases count for as much as they prove right, and for nothing where too few do
    least_trust: float = 0.5  # share of right phrases below which the prior is off
    horizon: float = 50.0  # steps that the check of phrases on unlabelled scans remembers

    lambda_consistency: float = 0.0  # weight of the consistency with the teacher on unpaired points
    pe: ExploitationConfig = field(default_factory=ExploitationConfig)  # where no pseudo-label is; off
    mix: BandMixConfig = field(default_factory=BandMixConfig)  # bands of both kinds of scans exchanged; off
    query: QueryConfig = field(default_factory=QueryConfig)  # a head for open-vocabulary queries; off
    text: TextBranchConfig = field(default_factory=TextBranchConfig)  # SAFM and KL beside the prior; off

    def __post_init__(self) -> None:
        for name in ("tau_text", "tau_free", "least_trust"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        for name in ("lambda_u", "ramp_steps", "strength", "lambda_consistency"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.alpha < 1:
            raise ValueError(f"alpha must lie in [0, 1), got {self.alpha}")
        if self.temperature <= 0:
            raise ValueError(f"temperature must be positive, got {self.temperature}")
        if self.horizon < 1:
            raise ValueError(f"horizon must be at least 1, got {self.horizon}")


class Lass3dPlus(nn.Module):
    """Eq. (7), and Eq. (8) with the product of teacher and phrase. Student and teacher see points alone.

    Decision: how far phrases are believed is found where it can be seen without a label that the teacher has
    learnt. Comparing teacher and product on labelled points would not do: the teacher has been trained on
    exactly these and would win whatever the phrases say. So the share of right phrases is estimated twice
    (parts/phrase_trust.py): on labelled scans, each by the counts of the others, once, before training;
    and on the unlabelled scans, where the teacher is sure by shape alone, throughout. The second weighs the
    phrases. While either is below `least_trust` the prior is off: the method is its own control.
    """

    evidence: Tensor

    def __init__(self, config: Lass3dPlusConfig, ingredients: Ingredients) -> None:
        super().__init__()
        self.config = config
        self.student = ingredients.make_segmenter()
        channels = self.student.backbone.out_channels
        self.teacher = ema.teacher_of(self.student)
        self.register_buffer("class_weights", ingredients.class_weights, persistent=False)
        evidence, self.held_out = _evidence(config, ingredients)
        self.register_buffer("evidence", evidence, persistent=False)
        self.unlabelled_trust = UnlabelledTrust(ingredients.num_classes, config.horizon)
        self.register_buffer("is_on", torch.tensor(False))
        self.query_head = (  # the last to be initialised: the segmenter begins the same with it and without
            QueryHead(config.query, channels, ingredients.text_dim) if config.query.weight else None
        )
        self.text_branch = (
            TextBranch(config.text, channels, ingredients.num_classes, ingredients.text_dim)
            if config.text.weight
            else None
        )
        self.measures: dict[str, float] = {}

    @property
    def predictor(self) -> nn.Module:
        """The teacher."""
        return self.teacher

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """ce_l, ce_u on the product, and what is switched on: consistency, pe, ce_mix, query, ce_text and
        kl_text.
        """
        unlabelled = ~batch.is_labelled
        f_student = self.student.embed(batch.features, batch.pyramid)
        logits = self.student.classifier(f_student)
        with torch.no_grad():
            f_teacher = self.teacher.embed(batch.features, batch.pyramid)
            teacher_logits = self.teacher.classifier(f_teacher)[unlabelled]
            teacher, phrase = teacher_logits.softmax(dim=1), batch.phrase[unlabelled]
            trust = self._trust(teacher, phrase, step)
            belief = self._product(teacher, phrase, trust)
            pseudo_labels = self._pseudo_labels(belief, phrase)
        self.measures = _measures(batch, teacher, pseudo_labels, phrase) | {"phrase_trust": trust}

        config, ramp = self.config, min(1.0, (step + 1) / max(1, self.config.ramp_steps))
        weights = self.class_weights if config.balanced else None
        terms = {
            "ce_l": losses.cross_entropy(logits, batch.labels, self.class_weights),
            "ce_u": ramp * config.lambda_u * losses.cross_entropy(logits[unlabelled], pseudo_labels, weights),
        }
        if config.lambda_consistency:
            unpaired = phrase == NONE
            loss = losses.consistency(logits[unlabelled][unpaired], teacher_logits[unpaired])
            terms["consistency"] = ramp * config.lambda_consistency * loss
        if config.pe.weight:
            terms["pe"] = exploitation(logits[unlabelled], pseudo_labels != IGNORE, config.pe, belief)
        if config.mix.weight:
            terms["ce_mix"] = ramp * self._mixed(config.mix, batch, pseudo_labels, weights, step)
        if self.query_head is not None:
            terms["query"] = self._query(self.query_head, batch, f_student, f_teacher)
        if self.text_branch is not None:
            targets = batch.labels.masked_scatter(unlabelled, pseudo_labels)
            image, entity = (
                without_dropped(text, batch.scan, config.text.dropout, step)
                for text in (batch.image, batch.entity)
            )
            terms |= self.text_branch.losses(
                f_student, image, entity, batch.texts, targets, unlabelled, weights
            )
        return terms

    def further_losses(self, batch: SemiBatch, step: int) -> Iterator[dict[str, Tensor]]:
        """None."""
        return iter(())

    def after_step(self, step: int) -> None:
        """Eq. (1), parameters only."""
        ema.update_teacher(self.teacher, self.student, self.config.alpha, step)

    def _mixed(
        self,
        config: BandMixConfig,
        batch: SemiBatch,
        pseudo_labels: Tensor,
        weights: Tensor | None,
        step: int,
    ) -> Tensor:
        """The cross-entropy of scans in which labelled and text-corrected bands lie side by side."""
        pair, areas = pairs_of(batch.scan, batch.is_labelled, config.areas, config.seed, step)
        mix = mixed(batch.pyramid.coords[0], pair, areas, batch.is_labelled, config.pitch_deg)
        logits = self.student(batch.features[mix.rows], build_pyramid(mix.coords, batch.pyramid.levels))
        targets = batch.labels.masked_scatter(~batch.is_labelled, pseudo_labels)[mix.rows]
        return config.weight * losses.cross_entropy(logits, targets, weights)

    def _query(self, head: QueryHead, batch: SemiBatch, f_student: Tensor, f_teacher: Tensor) -> Tensor:
        """Decision: on the teacher's features, the very ones that are asked later, and they have no gradient;
        `into_segmenter` takes the student's, which have one.
        """
        seen = f_student if self.config.query.into_segmenter else f_teacher
        return self.config.query.weight * head.loss(seen, batch.image, batch.entity, batch.texts)

    def _product(self, teacher: Tensor, phrase: Tensor, trust: float) -> Tensor:
        if not trust:
            return teacher
        evidence = believed(self.evidence, trust)
        return posterior(teacher, evidence, phrase, self.config.strength, self.config.temperature)

    def _pseudo_labels(self, belief: Tensor, phrase: Tensor) -> Tensor:
        most, label = belief.max(dim=1)
        least = torch.where(phrase == NONE, self.config.tau_free, self.config.tau_text)
        return label.masked_fill(most < least, IGNORE)

    def _trust(self, teacher: Tensor, phrase: Tensor, step: int) -> float:
        """The share of phrases that is believed in this step: 0 while the prior is off. Changes are told."""
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
    paired = phrase != NONE
    changed = kept & (pseudo_labels != teacher.argmax(dim=1))
    count = max(1, len(phrase))
    return {
        "ce_l_points": float((batch.labels != IGNORE).sum()),
        "ce_u_points": float(kept.sum()),
        "text_share": float(paired.sum()) / count,
        "kept_share": float(kept.sum()) / count,
        "changed_share": float(changed.sum()) / count,
    }


def _say(line: str) -> None:
    """Above the progress bar, once for all processes."""
    if parallel.rank() == 0:
        tqdm.write(line, file=sys.stderr)
