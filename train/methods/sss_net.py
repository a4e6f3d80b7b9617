"""SSS-Net (Deng et al., "Superpoint-guided semi-supervised semantic segmentation", ICRA 2022), approximate.

Self-training in rounds, in which superpoints, grown by geometry and by colour, correct the pseudo-labels:
    L = CE(labelled) + lambda_u CE(pseudo-labels) + lambda_edge L_edge + lambda_smooth L_smooth
    pseudo-labels: the predictions with p >= tau vote in their superpoint. If one class has more than half
        of the superpoint's voxels, all of them get it (modified); otherwise none has a label (deleted)
    aggregation: the classifier sees f + A(mean of f in the voxel's superpoint), A a linear map
    L_edge: cross-entropy of two outputs that say whether a voxel is on an edge of geometry and of colour
    L_smooth: mean over voxels of |f - mean of f in the voxel's superpoint|^2 / channels
The aggregation is a part of the network at inference, too: superpoints need points alone.

There is no public code. This is built from the abstract and from what LASS3D says about it. Guessed:
- Superpoints: connected voxels that agree in normal and colour (lass3d_core/nets/superpoints.py), and both
  thresholds. Superpoints smaller than `smallest` get no label.
- The rule of voting and tau. The abstract says that superpoints constrain pseudo-labels, LASS3D that they
  optimise them.
- The definition of an edge: more than a quarter of the voxels that touch are across one.
- The edge module learns on all voxels; in the abstract it learns on points that no pseudo-label supervises.
- The form of the aggregation and of both losses, and all weights.
- Rounds of steps, as in CBST here; see SelfTraining in train/methods/parts/branches.py.
- The ramp: with `ramp_steps` ce_u and pe rise from the first step of round 1 on. Edge and smoothness need no
  predictions and do not.
- The backbone of all methods instead of the paper's.
The method is made for rooms. Outdoors, remission takes the place of colour.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from lass3d_core.compute.precision import to_float32
from lass3d_core.labels import IGNORE
from lass3d_core.nets.superpoint_segmenter import SuperpointSegmenter
from lass3d_core.nets.superpoints import SuperpointConfig, Superpoints, mean_by_superpoint
from lass3d_core.paper import losses
from lass3d_core.paper.exploitation import ExploitationConfig, exploitation_loss
from lass3d_core.settings import SETTINGS
from train.methods.contract import Ingredients, MethodConfig, SemiBatch, Share, channels_of
from train.methods.parts.branches import SelfTraining
from train.methods.parts.ramp import ramp


@dataclass(frozen=True, config=SETTINGS)
class SssNetConfig(MethodConfig):
    """No value is published; all are guessed."""

    regions: SuperpointConfig = SuperpointConfig()
    tau: Share = 0.9  # least confidence of a vote; as LaserMix
    majority: Share = 0.5  # share of a superpoint's voxels that a class must exceed
    smallest: PositiveInt = 5  # voxels of a superpoint that may get a label
    lambda_u: NonNegativeFloat = 1.0
    lambda_edge: NonNegativeFloat = 0.1
    lambda_smooth: NonNegativeFloat = 0.1
    round_steps: PositiveInt = 3_000  # as CBST here
    first_round_steps: NonNegativeInt = 0  # of round 0, on labels alone; 0: as long as the others
    ramp_steps: NonNegativeInt = 0  # steps of round 1 and later over which ce_u rises from 0; 0: none
    pe: ExploitationConfig = ExploitationConfig()  # on points without a pseudo-label; off


class SssNet(SelfTraining):
    """Decision: the cross-entropies of labels and pseudo-labels are separate means."""

    def __init__(self, config: SssNetConfig, ingredients: Ingredients) -> None:
        super().__init__(config, ingredients)
        self.edges = nn.Linear(channels_of(self.network.backbone), 2)

    def make_network(self, ingredients: Ingredients) -> nn.Module:
        backbone = ingredients.make_backbone()
        return SuperpointSegmenter(backbone, ingredients.num_classes, self.config.regions)

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """ce_l, edge and smooth; from round 1 on also ce_u and, if it is switched on, pe."""
        config, unlabelled = self.config, batch.unlabelled
        regions = self.network.superpoints(batch.features, batch.pyramid)
        embedded = self.network.backbone(batch.features, batch.pyramid)
        logits = self.network.logits(embedded, regions)
        self.measures = {"labelled_points": batch.labelled_points, "superpoints": float(len(regions.size))}
        terms = {
            "ce_l": losses.cross_entropy(logits, batch.labels, self.class_weights),
            "edge": config.lambda_edge * edge_loss(to_float32(self.edges(embedded)), regions.on_edge),
            "smooth": config.lambda_smooth * smoothness(to_float32(embedded), regions),
        }
        if not self.round_of(step):
            return terms
        labels = self._pseudo_labels(batch, regions)
        kept = labels[unlabelled] != IGNORE
        self.measures["pseudo_share"] = kept.sum() / max(len(kept), 1)
        risen = ramp(step - self.first_labels, config.ramp_steps)
        terms["ce_u"] = (
            risen * config.lambda_u * losses.cross_entropy(logits, labels, self.pseudo_label_weights)
        )
        if config.pe.weight:
            terms["pe"] = risen * exploitation_loss(logits[unlabelled], kept, config.pe)
        return terms

    @torch.no_grad()
    def _pseudo_labels(self, batch: SemiBatch, regions: Superpoints) -> Tensor:
        """Labels (M,) of the unlabelled points: the labels of their superpoints, 255 for none."""
        labeller = self.labeller.eval()
        logits = labeller.logits(labeller.backbone(batch.features, batch.pyramid), regions)
        confidence, predicted = logits.softmax(dim=1).max(dim=1)
        votes = predicted.masked_fill(confidence < self.config.tau, IGNORE)
        labels = vote(votes, regions, logits.shape[1], self.config.majority, self.config.smallest)
        return labels.masked_fill(batch.is_labelled, IGNORE)


def vote(votes: Tensor, regions: Superpoints, num_classes: int, majority: float, smallest: int) -> Tensor:
    """Give each superpoint one pseudo-label or none.

    A class wins if more than `majority` of the superpoint's voxels vote for it and the superpoint has at
    least `smallest` voxels.
    votes (M,) int64: train ids, 255 for none. Returns (M,) int64, 255 for none.
    """
    given = (votes != IGNORE).long()
    ballots = regions.of_voxel * num_classes + votes * given  # a voxel without a vote adds 0 to class 0
    tally = votes.new_zeros(len(regions.size) * num_classes).index_add_(0, ballots, given)
    tally = tally.view(-1, num_classes)
    most, winner = tally.max(dim=1)
    has_label = (most > majority * regions.size) & (regions.size >= smallest)
    return winner.masked_fill(~has_label, IGNORE)[regions.of_voxel]


def edge_loss(logits: Tensor, on_edge: Tensor) -> Tensor:
    """L_edge of logits (M,2) and the truth (M,2) bool: this process's share of the mean."""
    total = F.binary_cross_entropy_with_logits(logits, on_edge.to(logits.dtype), reduction="sum")
    return losses.share_of_mean(total, on_edge.numel())


def smoothness(features: Tensor, regions: Superpoints) -> Tensor:
    """L_smooth of features (M,F): this process's share of the mean over voxels and channels."""
    away = features - mean_by_superpoint(features, regions)[regions.of_voxel]
    return losses.share_of_mean(away.square().sum(), away.numel())
