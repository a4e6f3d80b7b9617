"""Alignment instead of fusion (Tab. 6): CLIP2Scene's semantic consistency regularisation.

Chen et al., CVPR 2023. Letters: M voxels, F channels, D text dimension, T texts.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lass3d_core.compute import parallel
from lass3d_core.compute.precision import to_float32
from lass3d_core.paper.safm import TextBatch


class SemanticConsistency(nn.Module):
    """Pulls 3D features, projected into the text space, to their own text and away from the others.

    Decision: the form is that of CLIP2Scene's published code: the inner products of the projected feature
    with the unit-length text embeddings are logits, and the text that is paired with the point is their
    target in a cross-entropy. There the texts are class names; here they are the phrases of the batch (entity
    level) and the captions of the batch (image level), and the two levels are added as the fusion adds them.
    Texts with equal rows are one; several processes that share a batch have their texts in common.
    """

    def __init__(self, channels: int, text_dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(channels, text_dim)

    def forward(self, f_3d: Tensor, image: Tensor, entity: Tensor, texts: TextBatch) -> Tensor:
        """f_3d (M,F), image and entity (M,) int64 with -1 for none -> scalar, 0 where no voxel has a text."""
        projected = self.project(f_3d)
        return _matching(projected, entity, texts.entity_rows) + _matching(
            projected, image, texts.image_pooled
        )


def _matching(projected: Tensor, text: Tensor, rows: Tensor) -> Tensor:
    """Cross-entropy of finding each projected (M,D) its own among rows (T,D), the mean over the paired."""
    distinct, number = parallel.distinct_rows_of_all(rows)
    paired = text >= 0
    logits = to_float32(projected[paired] @ F.normalize(distinct, dim=1).T)
    loss = F.cross_entropy(logits, number[text[paired]], reduction="sum")
    return loss / parallel.all_reduce_sum(paired.sum().to(loss.dtype)).clamp(min=1)
