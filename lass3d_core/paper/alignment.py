"""Alignment instead of fusion (Tab. 6): the semantic consistency regularisation of CLIP2Scene.

Chen et al., CVPR 2023.
Letters: M voxels, F channels, D text dimension, T texts.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lass3d_core.compute import parallel
from lass3d_core.compute.precision import to_float32
from lass3d_core.paper.losses import share_of_mean
from lass3d_core.paper.safm import TextBatch


class SemanticConsistency(nn.Module):
    """Pull projected 3D features towards their text and away from the other texts.

    Decision: the form follows CLIP2Scene's published code. The inner products of the projected feature with
    the unit-length text embeddings are the logits of a cross-entropy; the text paired with the point is the
    target. There the texts are class names. Here they are the phrases of the batch (entity level) and its
    captions (image level), and the two losses are added, as the fusion adds the two levels.
    Texts with equal rows count as one. Processes that share a batch have their texts in common.
    """

    def __init__(self, channels: int, text_dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(channels, text_dim)

    def forward(self, f_3d: Tensor, image: Tensor, entity: Tensor, texts: TextBatch) -> Tensor:
        """The loss of both levels, a scalar; 0 if no voxel has a text.

        f_3d (M,F). image, entity (M,) int64, -1 for none.
        """
        projected = self.project(f_3d)
        of_phrases = _matching(projected, entity, texts.entity_rows)
        return of_phrases + _matching(projected, image, texts.image_pooled)


def _matching(projected: Tensor, text: Tensor, rows: Tensor) -> Tensor:
    """Cross-entropy of finding the text of each voxel among all rows; the mean over voxels with a text.

    projected (M,D). text (M,) int64: index into rows (T,D), -1 for none.
    """
    distinct, number = parallel.distinct_rows_of_all(rows)
    paired = text >= 0
    logits = to_float32(projected[paired] @ F.normalize(distinct, dim=1).T)
    return share_of_mean(F.cross_entropy(logits, number[text[paired]], reduction="sum"), len(logits))
