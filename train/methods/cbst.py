"""Class-balanced self-training (Zou et al., ECCV 2018), on point clouds, in rounds of steps.

A round labels the unlabelled points with the network as it was at the round's start, then trains on them:
    thr_c = the confidence at rank floor(p_k n_c), from the highest down, of the n_c points predicted as c
    label = argmax_c p_c / thr_c, where that ratio is at least 1; else the point is ignored
    L = CE(labelled points) + CE(unlabelled points with a label)
One threshold per class keeps rare and hard classes in, which one for all would drop. The portion p_k starts
at 0.2 and grows by 0.05 a round to 0.5. Where floor(p_k n_c) is 0, thr_c is 1.

How rounds map to steps. The paper labels the whole unlabelled set, then trains for 2 epochs, 6 times over.
Here a round is `round_steps` steps of the one schedule that every method has. Round 0 trains on labels alone
and yields the first labeller. At the end of each round the labeller becomes a copy of the averaged network,
which labels the unlabelled scans of the next round's batches as they come; thr_c is that of all points it
has predicted in the round so far, so that it is the paper's once the round has gone through the set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lass3d_core.labels import IGNORE
from lass3d_core.paper import ema, losses
from lass3d_core.paper.exploitation import ExploitationConfig, exploitation
from train.methods.contract import Ingredients, SemiBatch
from train.methods.parts.confidences import Confidences


@dataclass(frozen=True)
class CbstConfig:
    """portion*: share of the points predicted as a class that keep their label, by round."""

    portion: float = 0.2  # of the first round; Sec. 5 of the paper
    portion_growth: float = 0.05  # per round; Sec. 5
    portion_limit: float = 0.5  # Sec. 5
    round_steps: int = 3_000  # ours: the seven portions fit into LaserMix's 25 000 steps
    lambda_u: float = 1.0  # weight of the pseudo-labels: the paper's points all count alike
    alpha: float = 0.999  # horizon of the network that is evaluated and labels; 0 = the network itself
    pe: ExploitationConfig = field(default_factory=ExploitationConfig)  # on ignored points; not the paper's

    def __post_init__(self) -> None:
        if not 0 <= self.portion <= self.portion_limit <= 1:
            raise ValueError(
                f"0 <= portion <= portion_limit <= 1 is needed, got {self.portion} and {self.portion_limit}"
            )
        if min(self.portion_growth, self.lambda_u) < 0:
            raise ValueError("portion_growth and lambda_u must not be negative")
        if self.round_steps < 1:
            raise ValueError(f"round_steps must be at least 1, got {self.round_steps}")
        if not 0 <= self.alpha < 1:
            raise ValueError(f"alpha must lie in [0, 1), got {self.alpha}")

    def portion_of(self, round_number: int) -> float:
        """p_k of round 1, 2, ..."""
        return min(self.portion + self.portion_growth * (round_number - 1), self.portion_limit)


class Cbst(nn.Module):
    """Decisions. The predictor is a moving average of the network, as in the supervised control, and it is
    what labels. The two cross-entropies are means of their own, so that the number of points that happen to
    have a label does not set the weight of the labelled ones; the class weights of the recipe count in both.
    """

    def __init__(self, config: CbstConfig, ingredients: Ingredients) -> None:
        super().__init__()
        self.config = config
        self.network = ingredients.make_segmenter()
        self.averaged = ema.teacher_of(self.network)
        self.labeller = ema.teacher_of(self.network)
        self.confidences = Confidences(ingredients.num_classes)
        self.register_buffer("class_weights", ingredients.class_weights, persistent=False)
        self.measures: dict[str, float] = {}

    @property
    def predictor(self) -> nn.Module:
        """The moving average of the network."""
        return self.averaged

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """ce_l; from round 1 on also ce_u and, where it is switched on, pe."""
        logits = self.network(batch.features, batch.pyramid)
        self.measures = {"labelled_points": float((batch.labels != IGNORE).sum()), "pseudo_share": 0.0}
        terms = {"ce_l": losses.cross_entropy(logits, batch.labels, self.class_weights)}
        unlabelled = ~batch.is_labelled
        labels = self._pseudo_labels(batch, step)[unlabelled]
        if len(labels):
            self.measures["pseudo_share"] = float((labels != IGNORE).float().mean())
        ce_u = losses.cross_entropy(logits[unlabelled], labels, self.class_weights)
        terms["ce_u"] = self.config.lambda_u * ce_u
        if self.config.pe.weight and self._round(step):
            terms["pe"] = exploitation(logits[unlabelled], labels != IGNORE, self.config.pe)
        return terms

    def further_losses(self, batch: SemiBatch, step: int) -> Iterator[dict[str, Tensor]]:
        """None."""
        return iter(())

    def after_step(self, step: int) -> None:
        """The average follows the network; at the end of a round it becomes the labeller of the next."""
        ema.update_teacher(self.averaged, self.network, self.config.alpha, step)
        ema.update_buffers(self.averaged, self.network, self.config.alpha, step)
        if self._round(step + 1) > self._round(step):
            self.labeller.load_state_dict(self.averaged.state_dict())
            self.confidences.clear()

    def _round(self, step: int) -> int:
        return step // self.config.round_steps

    @torch.no_grad()
    def _pseudo_labels(self, batch: SemiBatch, step: int) -> Tensor:
        """Labels (M,) of the batch's unlabelled points; all are ignored in round 0."""
        labels = torch.full_like(batch.labels, IGNORE)
        if not self._round(step):
            return labels
        unlabelled = ~batch.is_labelled
        logits = self.labeller.eval()(batch.features, batch.pyramid)[unlabelled]
        self.confidences.count(logits)
        thresholds = self.confidences.log_thresholds(self.config.portion_of(self._round(step)))
        labels[unlabelled] = balanced_labels(logits, thresholds)
        return labels


def balanced_labels(logits: Tensor, log_thresholds: Tensor) -> Tensor:
    """argmax_c p_c / thr_c of logits (N,C) where that ratio is at least 1, else 255; (N,) int64.

    log_thresholds (C,) float64, and so is the comparison: near 1, float32 has too few probabilities.
    """
    ratio, label = (logits.double().log_softmax(dim=1) - log_thresholds).max(dim=1)
    return label.masked_fill(ratio < 0, IGNORE)
