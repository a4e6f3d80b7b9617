"""Open-vocabulary query without text in the network: features of points alone, mapped into the text space.

Not the paper's: our extension. While training, the head learns where the phrase of a point lies; afterwards
any text that the same encoder embeds can be held against every point, with an image or without.
Letters: M voxels, S of them with a text, F channels, D text dimension, T texts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lass3d_core.compute import parallel
from lass3d_core.compute.precision import to_float32
from lass3d_core.paper.safm import TextBatch


@dataclass(frozen=True)
class QueryConfig:
    """weight: of the loss in the objective; 0 = no head. hidden: width of the hidden layer."""

    weight: float = 0.0
    hidden: int = 128  # as wide as the paper's adapter is here
    temperature: float = 0.07  # CLIP's at its start
    caption_weight: float = 0.1  # of the points that have a caption and no phrase, beside those with one
    into_segmenter: bool = False  # the loss trains the features too, and so changes the segmentation

    def __post_init__(self) -> None:
        if self.weight < 0 or self.caption_weight < 0:
            raise ValueError("weight and caption_weight of the query must not be negative")
        if self.hidden < 1:
            raise ValueError(f"hidden must be at least 1, got {self.hidden}")
        if self.temperature <= 0:
            raise ValueError(f"temperature must be positive, got {self.temperature}")


class QueryHead(nn.Module):
    """z = MLP(f) / |MLP(f)|: features (M,F) -> unit rows (M,D) beside those of the text encoder.

    The loss asks which text of the batch is the point's own (InfoNCE), t_p being unit text rows:

        L(S, T) = - sum_{m in S} w_m log( exp(z_m . t_y(m) / tau) / sum_{p in T} exp(z_m . t_p / tau) )
                  / sum_{m in S} w_m,        w_m = n_y(m)^(-1/2), n_p the points of S whose text is p
        L = L(points with a phrase, phrases) + caption_weight L(points with a caption alone, captions).

    Decisions. Phrases and captions are told apart among their own kind: a caption holds the very words that a
    phrase is to be found by, and would be its hardest wrong answer. Texts with equal rows are one answer.
    The weights keep the road from being all that is learnt, as class weights do in the segmenter.
    `SemanticConsistency` (Tab. 6) has neither unit length, by which points are ranked here, nor the weights.
    """

    def __init__(self, config: QueryConfig, channels: int, text_dim: int) -> None:
        super().__init__()
        self.config = config
        self.project = nn.Sequential(
            nn.Linear(channels, config.hidden), nn.ReLU(), nn.Linear(config.hidden, text_dim)
        )

    def forward(self, features: Tensor) -> Tensor:
        """features (M,F) -> z (M,D) float32 of unit length; z . t is the cosine similarity to a text."""
        return F.normalize(to_float32(self.project(features)), dim=1)

    def loss(self, features: Tensor, image: Tensor, entity: Tensor, texts: TextBatch) -> Tensor:
        """L of features (M,F), image and entity (M,) int64 with -1 for none; 0 where no voxel has a text.

        Where several processes train together: this one's share, see losses; they have their texts in common.
        """
        named = entity >= 0
        loss = self._matching(features[named], entity[named], texts.entity_rows)
        if not self.config.caption_weight:
            return loss
        captioned = ~named & (image >= 0)
        captions = self._matching(features[captioned], image[captioned], texts.image_pooled)
        return loss + self.config.caption_weight * captions

    def _matching(self, features: Tensor, text: Tensor, rows: Tensor) -> Tensor:
        """L(S, T) of features (S,F) whose texts are rows[text], text (S,) int64, rows (T,D)."""
        distinct, number = parallel.distinct_rows_of_all(rows)
        own = number[text]
        counts = parallel.all_reduce_sum(torch.bincount(own, minlength=len(distinct)))
        weights = counts.clamp(min=1).to(rows.dtype).rsqrt()
        mass = parallel.all_reduce_sum(weights[own].sum())
        logits = self(features) @ F.normalize(distinct, dim=1).T / self.config.temperature
        log_likelihood = F.log_softmax(to_float32(logits), dim=1).gather(1, own.unsqueeze(1)).squeeze(1)
        return -(weights[own] * log_likelihood).sum() / torch.where(mass > 0, mass, 1)
