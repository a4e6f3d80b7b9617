"""Class-balanced self-training (Zou et al., ECCV 2018), on point clouds, in rounds of steps.

A round labels the unlabelled points with the network of the round's start, then trains on them:
    thr_c = the confidence at rank floor(p_k n_c), in descending order, of the n_c points predicted as c
    label = argmax_c p_c / thr_c if that ratio is at least 1; else the point is ignored
    L = CE(labelled points) + CE(unlabelled points with a label)
One threshold per class keeps rare and hard classes, which a common threshold would drop. The portion p_k
starts at 0.2 and grows by 0.05 a round to 0.5. If floor(p_k n_c) is 0, thr_c is 1.

How rounds map to steps. The paper labels the whole unlabelled set, then trains for 2 epochs, 6 times.
Here a round is `round_steps` steps of the one schedule that every method has; see SelfTraining in
train/methods/parts/branches.py. thr_c counts all points that the labeller has predicted in the round so far.
It equals the paper's once the round has gone through the whole set.
The paper has no ramp, its portions grow instead. With `ramp_steps` the weight of the pseudo-labels rises from
the first step of round 1 on, and with it pe.
"""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from lass3d_core.labels import IGNORE
from lass3d_core.paper import losses
from lass3d_core.paper.exploitation import ExploitationConfig, exploitation_loss
from lass3d_core.settings import SETTINGS
from train.methods.contract import Ingredients, MethodConfig, SemiBatch, Share
from train.methods.parts.branches import SelfTraining
from train.methods.parts.confidences import Confidences
from train.methods.parts.ramp import ramp


@dataclass(frozen=True, config=SETTINGS)
class CbstConfig(MethodConfig):
    """portion*: share of the points predicted as a class that keep their label, by round."""

    portion: Share = 0.2  # in round 1; Sec. 5 of the paper
    portion_growth: NonNegativeFloat = 0.05  # per round; Sec. 5
    portion_limit: Share = 0.5  # Sec. 5
    round_steps: PositiveInt = 3_000  # ours: the seven portions fit into LaserMix's 25 000 steps
    first_round_steps: NonNegativeInt = 0  # of round 0, on labels alone; 0: as long as the others
    lambda_u: NonNegativeFloat = 1.0  # weight of the pseudo-labels: the paper's points all count alike
    ramp_steps: NonNegativeInt = 0  # steps of round 1 and later over which that weight rises; 0: none
    pe: ExploitationConfig = ExploitationConfig()  # on ignored points; not in the paper; off

    def __post_init__(self) -> None:
        first, last = self.portion, self.portion_limit
        if first > last:
            raise ValueError(f"portion must not exceed portion_limit, got {first} and {last}")

    def portion_of(self, round_number: int) -> float:
        """The share of its class's predictions that a round keeps, in [0,1]; it grows from round 1 on."""
        return min(self.portion + self.portion_growth * (round_number - 1), self.portion_limit)


class Cbst(SelfTraining):
    """Network, average and labeller, and how sure the labeller is of each class.

    Decision: the two cross-entropies are separate means. So the weight of the labelled points does not depend
    on how many points have a pseudo-label.
    """

    def __init__(self, config: CbstConfig, ingredients: Ingredients) -> None:
        super().__init__(config, ingredients)
        self.confidences = Confidences(ingredients.num_classes)

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """ce_l; from round 1 on also ce_u and, if it is switched on, pe."""
        logits = self.network(batch.features, batch.pyramid)
        self.measures = {"labelled_points": batch.labelled_points, "pseudo_share": 0.0}
        terms = {"ce_l": losses.cross_entropy(logits, batch.labels, self.class_weights)}
        unlabelled = batch.unlabelled
        labels = self._pseudo_labels(batch, step)
        if len(labels):
            self.measures["pseudo_share"] = (labels != IGNORE).float().mean()
        ce_u = losses.cross_entropy(logits[unlabelled], labels, self.pseudo_label_weights)
        risen = ramp(step - self.first_labels, self.config.ramp_steps)
        terms["ce_u"] = risen * self.config.lambda_u * ce_u
        if self.config.pe.weight and self.round_of(step):
            terms["pe"] = risen * exploitation_loss(logits[unlabelled], labels != IGNORE, self.config.pe)
        return terms

    def start_round(self) -> None:
        """Make the average the labeller and forget what the last labeller was sure of."""
        super().start_round()
        self.confidences.counts.zero_()

    @torch.no_grad()
    def _pseudo_labels(self, batch: SemiBatch, step: int) -> Tensor:
        """Labels (U,) of the unlabelled points, 255 for none; all are 255 in round 0."""
        if not self.round_of(step):
            return torch.full_like(batch.labels[batch.unlabelled], IGNORE)
        logits = self.labeller.eval()(batch.features, batch.pyramid)[batch.unlabelled]
        self.confidences.count(logits)
        thresholds = self.confidences.log_thresholds(self.config.portion_of(self.round_of(step)))
        return balanced_labels(logits, thresholds)


def balanced_labels(logits: Tensor, log_thresholds: Tensor) -> Tensor:
    """argmax_c p_c / thr_c if that ratio is at least 1, else 255.

    logits (N,C). log_thresholds (C,) float64. Returns (N,) int64.
    """
    # Compared in float64: near 1, float32 has too few values.
    ratio, label = (logits.double().log_softmax(dim=1) - log_thresholds).max(dim=1)
    return label.masked_fill(ratio < 0, IGNORE)
