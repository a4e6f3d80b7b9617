"""From the stored votes on points to the votes on voxels that a batch carries.

Letters: N points, M voxels, K phrases that a point keeps.
"""

from __future__ import annotations

import numpy as np
import torch

from lass3d_core.records import NONE, WHOLE_SHARE, PairedScan
from lass3d_core.sparse.voxels import Voxels, first_point
from train.data.text_batches import votes_of
from train.methods.parts.votes import PhraseVotes


def point_votes(scan: PairedScan, phrase: np.ndarray, rows: np.ndarray) -> PhraseVotes:
    """The votes on the points `rows` (n,) of a scan.

    phrase (N,K) int64: the rows that the phrases of all N points have elsewhere.
    """
    stored, whole = votes_of(scan.pairs), np.float32(WHOLE_SHARE)
    return PhraseVotes(
        torch.from_numpy(phrase[rows]),
        torch.from_numpy(stored.share[rows] / whole),
        torch.from_numpy(stored.score[rows] / whole),
        torch.from_numpy(stored.views[rows].astype(np.float32)),
        torch.from_numpy(np.linalg.norm(scan.points[rows], axis=1)),
    )


def voxel_votes(scan: PairedScan, phrase: np.ndarray, keep: np.ndarray, voxels: Voxels) -> PhraseVotes:
    """The votes on the first point of each voxel that has a phrase: as `first_valid`, whole rows.

    keep (n,) int64: the points that were voxelised. phrase: as for `point_votes`.
    """
    point = first_point(torch.from_numpy(scan.pairs.entity[keep] != NONE), voxels)
    has_phrase = point < len(keep)
    # A voxel without a phrase takes any point, and then nothing of it.
    votes = point_votes(scan, phrase, keep[point.clamp(max=len(keep) - 1).numpy()])
    return votes.where(has_phrase)
