"""From the stored votes on points to the votes on voxels that a batch carries.

Letters: N points, M voxels, K phrases that a point keeps.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from lass3d_core.records import WHOLE_SHARE, PairedScan
from lass3d_core.sparse.voxels import Voxels, first_point
from train.data.text_batches import votes_of
from train.methods.parts.votes import PhraseVotes

_OF_NONE = {"phrase": -1}  # the value of a column where a voxel has no phrase; 0 in the others


def point_votes(scan: PairedScan, phrase: np.ndarray) -> PhraseVotes:
    """The votes on the N points of a scan. phrase (N,K) int64: the rows that its phrases have elsewhere."""
    stored, whole = votes_of(scan.pairs), np.float32(WHOLE_SHARE)
    return PhraseVotes(
        torch.from_numpy(phrase),
        torch.from_numpy(stored.share / whole),
        torch.from_numpy(stored.score / whole),
        torch.from_numpy(stored.views.astype(np.float32)),
        torch.from_numpy(np.linalg.norm(scan.points, axis=1)),
    )


def first_votes(votes: PhraseVotes, voxels: Voxels) -> PhraseVotes:
    """The votes on the first point of each voxel that has a phrase: as `first_valid`, whole rows."""
    point = first_point(votes.is_named, voxels)

    def looked_up(name: str) -> Tensor:
        column: Tensor = getattr(votes, name)
        none = column.new_full((1, *column.shape[1:]), _OF_NONE.get(name, 0))
        return torch.cat([column, none])[point]

    return PhraseVotes(*(looked_up(field.name) for field in fields(PhraseVotes)))
