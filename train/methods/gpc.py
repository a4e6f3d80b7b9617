"""Guided point contrastive learning (GPC; Jiang et al., ICCV 2021): what is the same point looks the same.

Two overlapping crops of every unlabelled scan, each augmented by itself, go through one network; a projector
gives each voxel an embedding e of unit length. Anchors are voxels that lie in both crops. With e_i in crop 1,
e_i' in crop 2, the pseudo-label y_i = argmax p_i and negatives e_n drawn equally over the classes from the
bank of crop 2:
    L_i = -log exp(e_i . e_i' / tau) / (exp(e_i . e_i' / tau) + sum_n [y_n != y_i] exp(e_i . e_n / tau))
    L_1 = mean of L_i over the anchors with max p_i' >= 0.75, e_i' and e_n detached
    L = CE(labelled points) + 0.1 (L_1 + L_2), L_2 being the same with the crops exchanged
The anchors are drawn equally over the pseudo-labels. A bank holds the latest embeddings of each class, first
in, first out. There is no cross-entropy with pseudo-labels. The values are those of the authors' code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lass3d_core.compute import parallel
from lass3d_core.labels import IGNORE
from lass3d_core.paper import ema, losses
from lass3d_core.paper.exploitation import ExploitationConfig, exploitation
from lass3d_core.sparse.maps import build_pyramid
from train.methods.contract import Ingredients, SemiBatch
from train.methods.parts.class_bank import Bank, rank_in_class
from train.methods.parts.crops import Crop, two_fans, two_windows

_ANCHORS, _BANK = 0, 1
"""What a random stream is for; the streams of a step never meet."""


@dataclass(frozen=True)
class GpcConfig:
    """crop: fans about the sensor outdoors, square windows where coordinates start at the scan's corner."""

    lambda_contrast: float = 0.1
    temperature: float = 0.1
    channels: int = 32  # of an embedding
    anchors: int = 1_000  # per scan
    negatives: int = 10_000  # per step, equally over the classes
    bank: int = 10_000  # embeddings per class
    enqueued: int = 1_000  # embeddings per class and step at most
    gate: float = 0.75  # least confidence of a positive
    labels_first: int = 200  # steps on labels alone (ScanNet); on SemanticKITTI a run of its own came first
    crop: Literal["fan", "window"] = "fan"
    fan_deg: tuple[float, float] = (120.0, 360.0)  # least and largest angle of a fan
    window: float = 0.75  # edge of a window as a share of the scan's extent; GPC's are 3.5 m of a whole room
    alpha: float = 0.999  # horizon of the network that is evaluated; 0 = the network itself, as GPC
    seed: int = 0  # of crops, anchors and negatives
    pe: ExploitationConfig = field(default_factory=ExploitationConfig)  # below the gate: LASS3D, Tab. 7

    def __post_init__(self) -> None:
        if not (0 <= self.alpha < 1 and 0 <= self.gate <= 1):
            raise ValueError(f"alpha must lie in [0, 1) and gate in [0, 1], got {self.alpha} and {self.gate}")
        if min(self.lambda_contrast, self.labels_first, self.seed) < 0:
            raise ValueError("lambda_contrast, labels_first and seed must not be negative")
        if self.temperature <= 0:
            raise ValueError(f"temperature must be positive, got {self.temperature}")
        if min(self.channels, self.anchors, self.negatives, self.enqueued) < 1 or self.enqueued > self.bank:
            raise ValueError(
                "channels, anchors, negatives and enqueued must be at least 1, enqueued at most bank"
            )
        if not (0 < self.fan_deg[0] <= self.fan_deg[1] <= 360 and 0 < self.window <= 1):
            raise ValueError(
                "fan_deg must rise within (0, 360] and window lie in (0, 1], "
                f"got {self.fan_deg} and {self.window}"
            )


class Gpc(nn.Module):
    """Decisions. The predictor is a moving average of the network, as in the supervised control.

    The crops are cut from the voxels of the batch, so that a voxel of one is a voxel of the other; their
    augmentations are the turns and mirrorings that map the lattice to itself, after that of the whole scan.
    Labelled scans and crops are normalised together, GPC's code normalises them apart.
    Embeddings enter a bank after a step's negatives were drawn, so that none of them is the anchor itself,
    and only embeddings that were seen are drawn; GPC enters them before, masks the anchor out, and fills its
    banks with random vectors at the start. Processes that share a batch share the banks.
    """

    def __init__(self, config: GpcConfig, ingredients: Ingredients) -> None:
        super().__init__()
        self.config = config
        self.network = ingredients.make_segmenter()
        self.projector = nn.Linear(self.network.backbone.out_channels, config.channels)
        self.averaged = ema.teacher_of(self.network)
        self.banks = nn.ModuleList(
            Bank(ingredients.num_classes, config.bank, config.channels) for _ in range(2)
        )
        self.register_buffer("class_weights", ingredients.class_weights, persistent=False)
        self.measures: dict[str, float] = {}

    @property
    def predictor(self) -> nn.Module:
        """The moving average of the network."""
        return self.averaged

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """ce_l; after the steps on labels alone also contrast and, where it is switched on, pe."""
        crops = self._crops(batch, step)
        features, logits = self._forward(batch, crops)
        labelled = int(batch.is_labelled.sum())
        labels = batch.labels[batch.is_labelled]
        self.measures = {"labelled_points": float((labels != IGNORE).sum())}
        terms = {"ce_l": losses.cross_entropy(logits[:labelled], labels, self.class_weights)}
        if step < self.config.labels_first:
            return terms
        counts = [len(crop.rows) for crop in crops]
        confidence, classes = logits[labelled:].detach().softmax(dim=1).max(dim=1)
        embeddings = F.normalize(self.projector(features[labelled:]).float(), dim=1)
        sides = [
            Side(*parts)
            for parts in zip(embeddings.split(counts), confidence.split(counts), classes.split(counts))
        ]
        terms["contrast"] = self.config.lambda_contrast * self._contrast(sides, crops, batch, step)
        reliable = confidence >= self.config.gate
        self.measures["reliable_share"] = float(reliable.float().mean()) if len(reliable) else 0.0
        if self.config.pe.weight:
            terms["pe"] = exploitation(logits[labelled:], reliable, self.config.pe)
        return terms

    def further_losses(self, batch: SemiBatch, step: int) -> Iterator[dict[str, Tensor]]:
        """None."""
        return iter(())

    def after_step(self, step: int) -> None:
        """The average follows the network, running statistics included."""
        ema.update_teacher(self.averaged, self.network, self.config.alpha, step)
        ema.update_buffers(self.averaged, self.network, self.config.alpha, step)

    def _crops(self, batch: SemiBatch, step: int) -> tuple[Crop, Crop]:
        """The first and the second crops of all unlabelled scans, drawn for each by its slot."""
        pairs = []
        for slot in batch.scan[~batch.is_labelled].unique().tolist():
            rows = (batch.scan == slot).nonzero().squeeze(1)
            rng = np.random.default_rng((self.config.seed, step, slot))
            coords, features = batch.pyramid.coords[0][rows], batch.features[rows]
            if self.config.crop == "fan":
                pair = two_fans(coords, features, rows, self.config.fan_deg, rng)
            else:
                pair = two_windows(coords, features, rows, self.config.window, rng)
            pairs.append(pair)
        none = Crop(batch.scan[:0], batch.pyramid.coords[0][:0], batch.features[:0])
        first, second = zip(*pairs) if pairs else ((none,), (none,))
        return Crop.joined(first), Crop.joined(second)

    def _forward(self, batch: SemiBatch, crops: tuple[Crop, Crop]) -> tuple[Tensor, Tensor]:
        """Backbone features and logits of labelled scans, first crops and second crops, in this order."""
        whole = batch.is_labelled.nonzero().squeeze(1)
        clouds = (Crop(whole, batch.pyramid.coords[0][whole], batch.features[whole]), *crops)
        coords = [cloud.coords.clone() for cloud in clouds]
        for number, of_cloud in enumerate(coords):  # a scan and its crops are scans of their own
            of_cloud[:, 0] = 3 * of_cloud[:, 0] + number
        pyramid = build_pyramid(torch.cat(coords), batch.pyramid.levels)
        features = self.network.backbone(torch.cat([cloud.features for cloud in clouds]), pyramid)
        return features, self.network.classifier(features)

    def _contrast(self, sides: list[Side], crops: tuple[Crop, Crop], batch: SemiBatch, step: int) -> Tensor:
        """L_1 + L_2; then the embeddings enter the banks."""
        places = self._anchors(sides[0].classes, crops, batch, step)
        at = [side.at(place) for side, place in zip(sides, places)]
        rng = np.random.default_rng((self.config.seed, step, _BANK, parallel.rank()))
        negatives = [bank.draw(self.config.negatives, rng) for bank in self.banks]
        total = sum(
            guided_contrast(at[own], at[other], *negatives[other], self.config.temperature, self.config.gate)
            for own, other in ((0, 1), (1, 0))
        )
        self.measures["anchors"] = float(len(places[0]))
        self.measures["negatives"] = float(len(negatives[0][1]))
        for bank, side in zip(self.banks, sides):
            chosen = rank_in_class(side.classes, rng) < self.config.enqueued // parallel.world_size()
            bank.enter(*(parallel.rows_of_all(rows[chosen]) for rows in (side.embeddings, side.classes)))
        return total

    def _anchors(
        self, classes: Tensor, crops: tuple[Crop, Crop], batch: SemiBatch, step: int
    ) -> tuple[Tensor, Tensor]:
        """Places (K,) in the first crops and (K,) in the second of the voxels that are contrasted."""
        place = [torch.full_like(batch.scan, -1) for _ in crops]
        for of_crop, crop in zip(place, crops):
            of_crop[crop.rows] = torch.arange(len(crop.rows), device=crop.rows.device)
        shared = ((place[0] >= 0) & (place[1] >= 0)).nonzero().squeeze(1)
        anchors = [shared[:0]]
        for slot in batch.scan[shared].unique().tolist():
            rows = shared[batch.scan[shared] == slot]
            rng = np.random.default_rng((self.config.seed, step, _ANCHORS, slot))
            chosen = balanced(classes[place[0][rows]], self.config.anchors, len(self.banks[0].entered), rng)
            anchors.append(rows[chosen])
        voxels = torch.cat(anchors)
        return place[0][voxels], place[1][voxels]


@dataclass(frozen=True)
class Side:
    """One crop's voxels: embeddings (K,E) of unit length, confidence (K,) and pseudo-labels (K,) int64."""

    embeddings: Tensor
    confidence: Tensor
    classes: Tensor

    def at(self, place: Tensor) -> Side:
        """These voxels of it."""
        return Side(self.embeddings[place], self.confidence[place], self.classes[place])


def guided_contrast(
    anchors: Side, positives: Side, negatives: Tensor, of_class: Tensor, temperature: float, gate: float
) -> Tensor:
    """L_1 of the anchors (K): the mean over those whose positive is at least `gate` sure.

    negatives (N,E) of classes (N,). A share of the mean over the anchors of all processes; 0 where there are
    none.
    """
    sure = positives.confidence >= gate
    embeddings = anchors.embeddings[sure]
    positive = (embeddings * positives.embeddings[sure].detach()).sum(dim=1, keepdim=True)
    same_class = anchors.classes[sure].unsqueeze(1) == of_class
    negative = (embeddings @ negatives.T).masked_fill(same_class, -torch.inf)
    scores = torch.cat([positive, negative], dim=1) / temperature
    total = (scores.logsumexp(dim=1) - scores[:, 0]).sum()
    return total / parallel.all_reduce_sum(sure.sum().to(total.dtype)).clamp(min=1)


def balanced(classes: Tensor, count: int, num_classes: int, rng: np.random.Generator) -> Tensor:
    """Places (K,) of `count` of classes (N,), or of all: count / C of each class, the rest at random."""
    rank = rank_in_class(classes, rng)
    first = rank < count // num_classes
    order = torch.from_numpy(rng.permutation(len(classes))).to(classes.device)
    rest = order[~first[order]][: count - int(first.sum())]
    return torch.cat([first.nonzero().squeeze(1), rest])
