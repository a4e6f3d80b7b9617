from __future__ import annotations

import numpy as np
import torch

from lass3d_core.records import PairedScan, PointTextPairs, PointVotes
from lass3d_core.sparse.voxels import first_valid, voxelise
from train.data.voxel_votes import point_votes, voxel_votes
from train.methods.parts.votes import PhraseVotes


def paired(votes: PointVotes | None) -> PairedScan:
    points = np.array([[3, 4, 0], [0.1, 0, 0], [0.2, 0, 0]], np.float32)
    image, entity = np.full((3, 1), -1, np.int16), np.int16([1, -1, 0])
    pairs = PointTextPairs(image, entity, (), ("a", "b"), votes)
    return PairedScan("s", points, np.zeros((3, 1), np.float32), None, pairs)


def test_stored_bytes_become_shares_scores_and_metres() -> None:
    stored = PointVotes(
        np.int16([[1, 0], [-1, -1], [0, -1]]),
        np.uint8([[204, 51], [0, 0], [255, 0]]),
        np.uint8([51, 0, 255]),
        np.uint8([3, 0, 1]),
    )
    votes = point_votes(paired(stored), np.array([[7, 5], [-1, -1], [5, -1]]), np.arange(3))
    assert votes.phrase.tolist() == [[7, 5], [-1, -1], [5, -1]]
    torch.testing.assert_close(votes.share, torch.tensor([[0.8, 0.2], [0, 0], [1, 0]]))
    torch.testing.assert_close(votes.score, torch.tensor([0.2, 0.0, 1.0]))
    assert votes.views.tolist() == [3, 0, 1]
    torch.testing.assert_close(votes.distance, torch.tensor([5.0, 0.1, 0.2]))


def test_without_a_vote_a_phrase_has_the_whole_share_of_one_view() -> None:
    votes = point_votes(paired(None), np.array([[7], [-1], [5]]), np.arange(3))
    certain = PhraseVotes.certain(torch.tensor([7, -1, 5]))
    for name in ("phrase", "share", "score", "views"):
        assert torch.equal(getattr(votes, name), getattr(certain, name)), name


def test_a_voxel_takes_all_columns_from_its_first_point_with_a_phrase() -> None:
    rng = np.random.default_rng(0)
    points = (rng.random((400, 3)) * 3).astype(np.float32)
    phrase = rng.integers(-1, 4, (400, 2))
    share = np.where(phrase < 0, 0, rng.integers(1, 128, (400, 2))).astype(np.uint8)
    votes = PointVotes(phrase.astype(np.int16), share, *rng.integers(0, 256, (2, 400)).astype(np.uint8))
    entity, names = phrase[:, 0].astype(np.int16), ("a", "b", "c", "d")
    pairs = PointTextPairs(np.full((400, 1), -1, np.int16), entity, (), names, votes)
    scan = PairedScan("s", points, np.zeros((400, 1), np.float32), None, pairs)
    keep = rng.permutation(400)[:300]
    voxels = voxelise(torch.from_numpy(points[keep]), 0.5)
    found, of_points = voxel_votes(scan, phrase, keep, voxels), point_votes(scan, phrase, keep)
    assert torch.equal(found.strongest, first_valid(torch.from_numpy(phrase[keep, 0]), voxels))
    for voxel in range(len(voxels.coords)):
        inside = [
            place for place in range(300) if voxels.inverse[place] == voxel and phrase[keep[place], 0] >= 0
        ]
        for name, column in vars(found).items():
            none = -1 if name == "phrase" else 0
            expected = getattr(of_points, name)[inside[0]] if inside else torch.full_like(column[voxel], none)
            assert torch.equal(column[voxel], expected), name
