"""Guided point contrastive learning (GPC; Jiang et al., ICCV 2021): two views of a point get one embedding.

Two overlapping crops of every unlabelled scan, each with its own augmentation, go through one network. A
projector gives each voxel an embedding e of unit length. Anchors are voxels that lie in both crops. e_i is an
embedding in crop 1, e_i' in crop 2, y_i = argmax p_i the pseudo-label. The negatives e_n are drawn equally
over the classes from the bank of crop 2:
    L_i = -log exp(e_i . e_i' / tau) / (exp(e_i . e_i' / tau) + sum_n [y_n != y_i] exp(e_i . e_n / tau))
    L_1 = mean of L_i over the anchors with max p_i' >= 0.75, e_i' and e_n detached
    L = CE(labelled points) + 0.1 (L_1 + L_2); L_2 is L_1 with the crops exchanged
The anchors are drawn equally over the pseudo-labels. A bank holds the latest embeddings of each class, first
in, first out. There is no cross-entropy with pseudo-labels. The values are from the authors' code. It has no
ramp, but steps on labels alone at the start. With `ramp_steps` contrast and pe rise after these.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from lass3d_core.compute import parallel
from lass3d_core.nets.segmenter import Segmenter
from lass3d_core.paper import losses
from lass3d_core.paper.exploitation import ExploitationConfig, exploitation_loss
from lass3d_core.settings import SETTINGS
from lass3d_core.sparse.maps import build_pyramid
from train.methods.contract import Ingredients, MethodConfig, SemiBatch, Share, channels_of
from train.methods.parts.branches import AveragedNetwork
from train.methods.parts.class_bank import Bank, rank_in_class
from train.methods.parts.crops import Crop, crop_of, two_fans, two_windows
from train.methods.parts.ramp import ramp

_ANCHORS, _BANK = 0, 1  # purposes of a random stream, part of its seed: no two streams of a step are the same


@dataclass(frozen=True, config=SETTINGS)
class GpcConfig(MethodConfig):
    """crop: fans about the sensor outdoors; square windows if coordinates start at the scan's corner."""

    lambda_contrast: NonNegativeFloat = 0.1
    temperature: PositiveFloat = 0.1
    channels: PositiveInt = 32  # of an embedding
    anchors: PositiveInt = 1_000  # per scan
    negatives: PositiveInt = 10_000  # per step, equally over the classes
    bank: PositiveInt = 10_000  # embeddings per class
    enqueued: PositiveInt = 1_000  # embeddings per class and step at most
    gate: Share = 0.75  # least confidence of a positive
    labels_first: NonNegativeInt = 200  # steps on labels alone (ScanNet); SemanticKITTI: a run before
    ramp_steps: NonNegativeInt = 0  # steps after these over which the contrast rises from 0; 0: none
    crop: Literal["fan", "window"] = "fan"
    fan_deg: tuple[float, float] = (120.0, 360.0)  # least and largest angle of a fan
    window: float = Field(default=0.75, gt=0, le=1)  # edge, of the scan's extent; GPC: 3.5 m of a whole room
    seed: NonNegativeInt = 0  # of crops, anchors and negatives
    pe: ExploitationConfig = ExploitationConfig()  # on points below the gate: LASS3D, Tab. 7; off

    def __post_init__(self) -> None:
        if self.enqueued > self.bank:
            raise ValueError(f"enqueued must not exceed bank, got {self.enqueued} and {self.bank}")
        if not 0 < self.fan_deg[0] <= self.fan_deg[1] <= 360:
            raise ValueError(f"fan_deg must rise within (0, 360], got {self.fan_deg}")


class Gpc(AveragedNetwork):
    """The network, its projector, and a bank of embeddings for each of the two crops.

    Decision: the crops are cut from the voxels of the batch, so a voxel of one crop is a voxel of the other.
    Their augmentations are the turns and reflections that map the voxel lattice to itself. They come after
    the augmentation of the whole scan.
    Batch norm keeps labelled scans and crops apart, as in GPC's code, unless data.kinds_apart is off.
    Decision: embeddings enter a bank after the negatives of the step are drawn, so no negative is the anchor
    itself. Only embeddings that a network made are drawn. GPC enters them before, masks the anchor out, and
    fills its banks with random vectors at the start. Processes that share a batch share the banks.
    """

    network: Segmenter
    banks: Any  # nn.ModuleList of two Banks

    def __init__(self, config: GpcConfig, ingredients: Ingredients) -> None:
        super().__init__(config, ingredients)
        self.num_classes = ingredients.num_classes
        self.projector = nn.Linear(channels_of(self.network.backbone), config.channels)
        self.banks = nn.ModuleList(Bank(self.num_classes, config.bank, config.channels) for _ in range(2))

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """ce_l; after the steps on labels alone also contrast and, if it is switched on, pe."""
        crops = self._crops(batch, step)
        features, logits = self._forward(batch, crops)
        labelled = batch.labelled_voxels
        labels = batch.labels[batch.labelled]
        self.measures = {"labelled_points": batch.labelled_points}
        terms = {"ce_l": losses.cross_entropy(logits[:labelled], labels, self.class_weights)}
        if step < self.config.labels_first:
            return terms
        counts = [len(crop.rows) for crop in crops]
        confidence, classes = logits[labelled:].detach().softmax(dim=1).max(dim=1)
        embeddings = F.normalize(self.projector(features[labelled:]).float(), dim=1)
        columns = (column.split(counts) for column in (embeddings, confidence, classes))
        sides = [Side(*parts) for parts in zip(*columns)]
        risen = ramp(step - self.config.labels_first, self.config.ramp_steps)
        contrast = self._contrast(sides, crops, batch, step)
        terms["contrast"] = risen * self.config.lambda_contrast * contrast
        reliable = confidence >= self.config.gate
        self.measures["reliable_share"] = reliable.sum() / max(len(reliable), 1)
        if self.config.pe.weight:
            terms["pe"] = risen * exploitation_loss(logits[labelled:], reliable, self.config.pe)
        return terms

    def _crops(self, batch: SemiBatch, step: int) -> tuple[Crop, Crop]:
        none = crop_of(batch, slice(0))
        pairs = [(none, none)]
        scans = batch.counts.rows
        for slot in batch.counts.slots[batch.counts.labelled_scans :]:
            # Seeded by the scan's slot: processes that share a batch draw the same crops as one process.
            rng = np.random.default_rng((self.config.seed, step, slot))
            scan = crop_of(batch, scans[slot])
            if self.config.crop == "fan":
                pairs.append(two_fans(scan, self.config.fan_deg, rng))
            else:
                pairs.append(two_windows(scan, self.config.window, rng))
        first, second = zip(*pairs)
        return Crop.concat(first), Crop.concat(second)

    def _forward(self, batch: SemiBatch, crops: tuple[Crop, Crop]) -> tuple[Tensor, Tensor]:
        """Backbone features and logits of labelled scans, first crops and second crops, in this order."""
        clouds = (crop_of(batch, batch.labelled), *crops)
        coords = [cloud.coords.clone() for cloud in clouds]
        for number, of_cloud in enumerate(coords):  # a scan and its two crops get different numbers
            of_cloud[:, 0] = 3 * of_cloud[:, 0] + number
        # Scans and crops have three numbers per slot, and labelled scans come first.
        labelled = batch.pyramid.first_scans
        apart = None if labelled is None else 3 * labelled
        pyramid = build_pyramid(torch.cat(coords), batch.pyramid.levels, apart)
        features = self.network.backbone(torch.cat([cloud.features for cloud in clouds]), pyramid)
        return features, self.network.classifier(features)

    def _contrast(self, sides: list[Side], crops: tuple[Crop, Crop], batch: SemiBatch, step: int) -> Tensor:
        """L_1 + L_2. Afterwards the embeddings enter the banks."""
        places = self._anchors(sides[0].classes, crops, batch, step)
        at = [side.at(place) for side, place in zip(sides, places)]
        rng = np.random.default_rng((self.config.seed, step, _BANK, parallel.rank()))
        negatives = [bank.draw(self.config.negatives, rng) for bank in self.banks]
        limits = self.config.temperature, self.config.gate
        first = guided_contrast(at[0], at[1], negatives[1], *limits)
        second = guided_contrast(at[1], at[0], negatives[0], *limits)
        self.measures |= {"anchors": float(len(places[0])), "negatives": float(len(negatives[0][1]))}
        for bank, side in zip(self.banks, sides):
            chosen = rank_in_class(side.classes, rng) < self.config.enqueued // parallel.world_size()
            bank.enter(*(parallel.rows_of_all(rows[chosen]) for rows in (side.embeddings, side.classes)))
        return first + second

    def _anchors(
        self, classes: Tensor, crops: tuple[Crop, Crop], batch: SemiBatch, step: int
    ) -> tuple[Tensor, Tensor]:
        """Draw the voxels to contrast: their places (K,) in the first crops and (K,) in the second."""
        place = [torch.full_like(batch.scan, -1) for _ in crops]
        for of_crop, crop in zip(place, crops):
            of_crop[crop.rows] = torch.arange(len(crop.rows), device=crop.rows.device)
        shared = ((place[0] >= 0) & (place[1] >= 0)).nonzero().squeeze(1)
        anchors = [shared[:0]]
        for slot in batch.scan[shared].unique().tolist():
            rows = shared[batch.scan[shared] == slot]
            rng = np.random.default_rng((self.config.seed, step, _ANCHORS, slot))
            chosen = balanced(classes[place[0][rows]], self.config.anchors, self.num_classes, rng)
            anchors.append(rows[chosen])
        voxels = torch.cat(anchors)
        return place[0][voxels], place[1][voxels]


class Side(NamedTuple):
    """A crop's embeddings (K,E) of unit length, confidence (K,) in [0, 1] and pseudo-labels (K,) int64."""

    embeddings: Tensor
    confidence: Tensor
    classes: Tensor

    def at(self, place: Tensor) -> Side:
        """The voxels at `place`."""
        return Side(*(column[place] for column in self))


def guided_contrast(
    anchors: Side, positives: Side, negatives: tuple[Tensor, Tensor], temperature: float, gate: float
) -> Tensor:
    """L_1, over the anchors whose positive is as sure as `gate`: this process's share of the mean.

    negatives: embeddings (N,E) and their classes (N,).
    """
    against, of_class = negatives
    sure = positives.confidence >= gate
    embeddings = anchors.embeddings[sure]
    positive = (embeddings * positives.embeddings[sure].detach()).sum(dim=1) / temperature
    same_class = anchors.classes[sure].unsqueeze(1) == of_class
    # In place, and without the positive as a column: these (K,N) scores are the largest matrices of a step.
    scores = (embeddings / temperature @ against.T).masked_fill_(same_class, -torch.inf)
    negative = scores.float().logsumexp(dim=1)  # float: autocast leaves a sum of bfloat16 scores in bfloat16
    return losses.share_of_mean(F.softplus(negative - positive).sum(), len(embeddings))


def balanced(classes: Tensor, count: int, num_classes: int, rng: np.random.Generator) -> Tensor:
    """Draw up to `count` places (K,) from classes (N,): count / C of each class, the rest at random."""
    rank = rank_in_class(classes, rng)
    first = rank < count // num_classes
    order = torch.from_numpy(rng.permutation(len(classes))).to(classes.device)
    rest = order[~first[order]][: count - int(first.sum())]
    return torch.cat([first.nonzero().squeeze(1), rest])
