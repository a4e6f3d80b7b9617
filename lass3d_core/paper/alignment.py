"""Alignment instead of fusion (Tab. 6): the semantic consistency regularisation of CLIP2Scene.

Chen et al., CVPR 2023.
Letters: M voxels, F channels, D text dimension, T texts.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lass3d_core.compute import parallel
from lass3d_core.compute.precision import to_float32
from lass3d_core.compute.selection import first_equal
from lass3d_core.paper.losses import share_of_mean
from lass3d_core.paper.safm import TextBatch

_UNPAIRED = -100


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
        """The loss of both levels, a scalar. f_3d (M,F). image, entity (M,) int64, -1 for none."""
        projected = self.project(f_3d)
        of_phrases = _matching(projected, entity, texts.entity_rows)
        return of_phrases + _matching(projected, image, texts.image_pooled)


class Answers(NamedTuple):
    """The texts among which a voxel's own text is to be found. Equal rows are one answer: the first of them.

    rows (T,D): of all processes that share the batch. first (T,) int64: the first row that equals each.
    number (N,) int64: the answer that each text row of this process stands for.
    """

    rows: Tensor
    first: Tensor
    number: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> Answers:
        """The answers for rows (N,D) of this process. In a single process, nothing waits for the GPU."""
        of_all = parallel.rows_of_all(rows)
        first, before = first_equal(of_all), parallel.rows_before(rows)
        return cls(of_all, first, first[before : before + len(rows)])

    def alone(self, logits: Tensor) -> Tensor:
        """logits (V,T) with each answer once: a row that repeats another has -inf."""
        places = torch.arange(len(self.first), device=self.first.device)
        return logits.masked_fill(self.first != places, -torch.inf)


def _matching(projected: Tensor, text: Tensor, rows: Tensor) -> Tensor:
    """Cross-entropy of finding the text of each voxel among all rows; the mean over voxels with a text.

    projected (M,D). text (M,) int64: index into rows (T,D), -1 for none.
    """
    answers = Answers.of(rows)
    if not len(answers.rows):
        return share_of_mean(projected.sum() * 0.0, 0)
    paired = text >= 0
    logits = answers.alone(to_float32(projected @ F.normalize(answers.rows, dim=1).T))
    own = answers.number[text].masked_fill(~paired, _UNPAIRED)
    total = F.cross_entropy(logits, own, reduction="sum", ignore_index=_UNPAIRED)
    return share_of_mean(total, paired.sum())
