"""SSS-Net (Deng et al., "Superpoint-guided semi-supervised semantic segmentation", ICRA 2022), approximate.

Self-training in rounds, in which superpoints, grown by geometry and by colour, correct the pseudo-labels:
    L = CE(labelled) + lambda_u CE(pseudo-labels) + lambda_edge L_edge + lambda_smooth L_smooth
    pseudo-labels: the predictions with p >= tau vote in their superpoint. Where one class has more than half
        of the superpoint's voxels, all of them get it (modified); elsewhere none has a label (deleted)
    aggregation: the classifier sees f + A(mean of f in the voxel's superpoint), A a linear map
    L_edge: cross-entropy of two outputs that tell whether a voxel is on an edge of geometry and of colour
    L_smooth: mean over voxels of |f - mean of f in the voxel's superpoint|^2 / channels
The aggregation is a part of the network at inference, too: superpoints need points alone.

There is no public code, and this is built from the abstract and from what LASS3D says of it. Guessed:
- Superpoints: what hangs together through voxels that touch and agree in normal and colour (see
  train/methods/parts/superpoints.py), and both thresholds. Smaller ones than `smallest` have no say.
- The rule of voting and tau. The abstract says that superpoints constrain pseudo-labels, LASS3D that they
  optimise them.
- What an edge is: more than a quarter of the voxels that touch are across one.
- The edge module learns on all voxels; the abstract has it for points that no pseudo-label supervises.
- The form of the aggregation and of both losses, and all weights.
- Rounds of steps of the one schedule of all methods. As in CBST here: round 0 trains on labels alone, at the
  end of a round a copy of the averaged network becomes the labeller of the next.
- The backbone of all methods in place of the paper's.
It is a method for rooms. Outdoors remission stands for colour.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lass3d_core.compute import parallel
from lass3d_core.compute.precision import to_float32
from lass3d_core.labels import IGNORE
from lass3d_core.nets.segmenter import make_classifier
from lass3d_core.paper import ema, losses
from lass3d_core.paper.exploitation import ExploitationConfig, exploitation
from lass3d_core.sparse.maps import KernelPyramid
from train.methods.contract import Ingredients, SemiBatch
from train.methods.parts.superpoints import SuperpointConfig, Superpoints, mean_by_superpoint, superpoints


@dataclass(frozen=True)
class SssNetConfig:
    """No value is known; all are guessed."""

    regions: SuperpointConfig = field(default_factory=SuperpointConfig)
    tau: float = 0.9  # least confidence of a vote; as LaserMix
    majority: float = 0.5  # share of a superpoint's voxels that the votes of its class exceed
    smallest: int = 5  # voxels of a superpoint that may get a label
    lambda_u: float = 1.0
    lambda_edge: float = 0.1
    lambda_smooth: float = 0.1
    round_steps: int = 3_000  # as CBST here
    alpha: float = 0.999  # horizon of the network that is evaluated and labels; 0 = the network itself
    pe: ExploitationConfig = field(default_factory=ExploitationConfig)  # where no pseudo-label is left

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < 1:
            raise ValueError(f"alpha must lie in [0, 1), got {self.alpha}")
        for name in ("tau", "majority"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        for name in ("lambda_u", "lambda_edge", "lambda_smooth"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("smallest", "round_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


class SuperpointSegmenter(nn.Module):
    """logits = classifier(f + A(mean of f in the superpoint)), f = backbone(points)."""

    def __init__(self, backbone: nn.Module, num_classes: int, regions: SuperpointConfig) -> None:
        super().__init__()
        channels: int = backbone.out_channels
        self.regions = regions
        self.backbone = backbone
        self.aggregation = nn.Linear(channels, channels)
        self.classifier = make_classifier(channels, num_classes)

    def forward(self, features: Tensor, pyramid: KernelPyramid) -> Tensor:
        """features (M,F) float32 of the voxels of `pyramid` -> logits (M,C) float32."""
        return self.logits(self.backbone(features, pyramid), self.superpoints(features, pyramid))

    def superpoints(self, features: Tensor, pyramid: KernelPyramid) -> Superpoints:
        """Those of the scans."""
        return superpoints(features, pyramid.submanifold[0], self.regions)

    def logits(self, embedded: Tensor, regions: Superpoints) -> Tensor:
        """embedded (M,channels) of the backbone -> logits (M,C) float32."""
        mean = mean_by_superpoint(to_float32(embedded), regions)
        return self.classifier(embedded + self.aggregation(mean)[regions.of_voxel])


class SssNet(nn.Module):
    """Decisions. The predictor is a moving average of the network, as in the supervised control, and it is
    what labels. The cross-entropies are means of their own; the recipe's class weights count in both.
    """

    def __init__(self, config: SssNetConfig, ingredients: Ingredients) -> None:
        super().__init__()
        self.config = config
        backbone = ingredients.make_backbone()
        self.network = SuperpointSegmenter(backbone, ingredients.num_classes, config.regions)
        self.edges = nn.Linear(backbone.out_channels, 2)
        self.averaged = ema.teacher_of(self.network)
        self.labeller = ema.teacher_of(self.network)
        self.register_buffer("class_weights", ingredients.class_weights, persistent=False)
        self.measures: dict[str, float] = {}

    @property
    def predictor(self) -> nn.Module:
        """The moving average of the network."""
        return self.averaged

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """ce_l, edge and smooth; from round 1 on also ce_u and, where it is switched on, pe."""
        config, unlabelled = self.config, ~batch.is_labelled
        regions = self.network.superpoints(batch.features, batch.pyramid)
        embedded = self.network.backbone(batch.features, batch.pyramid)
        logits = self.network.logits(embedded, regions)
        self.measures = {
            "labelled_points": float((batch.labels != IGNORE).sum()),
            "superpoints": float(len(regions.size)),
        }
        terms = {
            "ce_l": losses.cross_entropy(logits, batch.labels, self.class_weights),
            "edge": config.lambda_edge * edge_loss(to_float32(self.edges(embedded)), regions.on_edge),
            "smooth": config.lambda_smooth * smoothness(to_float32(embedded), regions),
        }
        if not self._round(step):
            return terms
        labels = self._pseudo_labels(batch, regions)
        kept = labels[unlabelled] != IGNORE
        self.measures["pseudo_share"] = float(kept.sum() / max(len(kept), 1))
        terms["ce_u"] = config.lambda_u * losses.cross_entropy(logits, labels, self.class_weights)
        if config.pe.weight:
            terms["pe"] = exploitation(logits[unlabelled], kept, config.pe)
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

    def _round(self, step: int) -> int:
        return step // self.config.round_steps

    @torch.no_grad()
    def _pseudo_labels(self, batch: SemiBatch, regions: Superpoints) -> Tensor:
        """Labels (M,) of the unlabelled points as their superpoints have them, else 255."""
        labeller = self.labeller.eval()
        logits = labeller.logits(labeller.backbone(batch.features, batch.pyramid), regions)
        confidence, predicted = logits.softmax(dim=1).max(dim=1)
        votes = predicted.masked_fill(confidence < self.config.tau, IGNORE)
        config, num_classes = self.config, logits.shape[1]
        labels = optimised(votes, regions, num_classes, config.majority, config.smallest)
        return labels.masked_fill(batch.is_labelled, IGNORE)


def optimised(
    votes: Tensor, regions: Superpoints, num_classes: int, majority: float, smallest: int
) -> Tensor:
    """Pseudo-labels (M,) int64 from votes (M,) train ids, 255 none: one label per superpoint, or none.

    A class wins with votes of more than `majority` of the superpoint's voxels, of which there are `smallest`.
    """
    given = votes != IGNORE
    ballots = regions.of_voxel[given] * num_classes + votes[given]
    tally = torch.bincount(ballots, minlength=len(regions.size) * num_classes).view(-1, num_classes)
    most, winner = tally.max(dim=1)
    has_label = (most > majority * regions.size) & (regions.size >= smallest)
    return winner.masked_fill(~has_label, IGNORE)[regions.of_voxel]


def edge_loss(logits: Tensor, on_edge: Tensor) -> Tensor:
    """L_edge of logits (M,2) and the truth (M,2) bool: a share of the mean over voxels and both kinds."""
    total = F.binary_cross_entropy_with_logits(logits, on_edge.to(logits.dtype), reduction="sum")
    return total / parallel.all_reduce_sum(total.new_tensor(float(on_edge.numel()))).clamp(min=1)


def smoothness(features: Tensor, regions: Superpoints) -> Tensor:
    """L_smooth of features (M,F): a share of the mean over voxels and channels."""
    away = features - mean_by_superpoint(features, regions)[regions.of_voxel]
    total = away.square().sum()
    return total / parallel.all_reduce_sum(total.new_tensor(float(away.numel()))).clamp(min=1)
