"""Open-vocabulary queries: a head that maps features of points alone into the text space.

Our extension, not the paper's. In training the head learns where the phrase of a point lies in that space.
Afterwards every point, with an image or without, can be compared with any text of the same encoder.
Letters: M voxels, S of them with a text, F channels, D text dimension, T texts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from lass3d_core.compute import parallel
from lass3d_core.compute.precision import to_float32
from lass3d_core.compute.selection import true_places
from lass3d_core.nets import query_head
from lass3d_core.paper.alignment import Answers
from lass3d_core.paper.safm import TextBatch
from lass3d_core.settings import SETTINGS


@dataclass(frozen=True, config=SETTINGS)
class QueryConfig:
    """weight: of the loss in the objective; 0 = no head. hidden: width of the hidden layer."""

    weight: NonNegativeFloat = 0.0
    hidden: PositiveInt = 128  # as wide as the paper's adapter is here
    temperature: PositiveFloat = 0.07  # CLIP's at its start
    caption_weight: NonNegativeFloat = (
        0.1  # of points with a caption and no phrase; points with a phrase have 1
    )


class QueryHead(query_head.QueryHead):
    """z = MLP(f) / |MLP(f)|: features (M,F) -> unit rows (M,D) in the space of the text encoder.

    The loss asks which text of the batch belongs to the point (InfoNCE). t_p are unit text rows:

        L(S, T) = - sum_{m in S} w_m log( exp(z_m . t_y(m) / tau) / sum_{p in T} exp(z_m . t_p / tau) )
                  / sum_{m in S} w_m,        w_m = n_y(m)^(-1/2), n_p the points of S whose text is p
        L = L(points with a phrase, phrases) + caption_weight L(points with a caption alone, captions).

    Decision: phrases compete with phrases only, captions with captions only. A caption contains the words of
    the phrases and would be their hardest wrong answer. Texts with equal rows are one answer.
    Decision: the weights w_m prevent that the head learns the road alone, as class weights do in the
    segmenter. `SemanticConsistency` (Tab. 6) has neither the weights nor unit length, and points are ranked
    by cosine here.
    """

    def __init__(self, config: QueryConfig, channels: int, text_dim: int) -> None:
        super().__init__(channels, config.hidden, text_dim)
        self.config = config

    def loss(
        self,
        features: Tensor,
        image: Tensor,
        entity: Tensor,
        texts: TextBatch,
        counts: tuple[int, int] | None = None,
    ) -> Tensor:
        """L of features (M,F), a scalar; 0 if no voxel has a text. image, entity (M,) int64: -1 for none.

        counts: how many voxels have a phrase, and how many a caption alone; None to count them, which waits
        for the GPU.
        If several processes train together, returns this one's share (see lass3d_core/paper/losses.py). The
        processes have their texts in common.
        """
        named = entity >= 0
        captioned = ~named & (image >= 0)
        counts = counts or (int(named.sum()), int(captioned.sum()))
        chosen = true_places(named, counts[0])
        loss = self._matching(features[chosen], entity[chosen], texts.entity_rows)
        if not self.config.caption_weight:
            return loss
        chosen = true_places(captioned, counts[1])
        captions = self._matching(features[chosen], image[chosen], texts.image_pooled)
        return loss + self.config.caption_weight * captions

    def _matching(self, features: Tensor, text: Tensor, rows: Tensor) -> Tensor:
        """L(S, T) of features (S,F) whose texts are rows[text], text (S,) int64, rows (T,D)."""
        answers = Answers.of(rows)
        own = answers.number[text]
        met = torch.zeros_like(answers.first).index_add_(0, own, torch.ones_like(own))
        weights = parallel.all_reduce_sum(met).clamp(min=1).to(rows.dtype).rsqrt()
        mass = parallel.all_reduce_sum(weights[own].sum())
        logits = self(features) @ F.normalize(answers.rows, dim=1).T / self.config.temperature
        log_share = F.log_softmax(answers.alone(to_float32(logits)), dim=1)
        log_likelihood = log_share.gather(1, own.unsqueeze(1)).squeeze(1)
        return -(weights[own] * log_likelihood).sum() / torch.where(mass > 0, mass, 1)
