from __future__ import annotations

import numpy as np
import torch

from lass3d_core.records import PairedScan, PointTextPairs, PointVotes
from lass3d_core.sparse.voxels import first_valid, voxelise
from train.data.voxel_votes import first_votes, point_votes
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
    votes = point_votes(paired(stored), np.array([[7, 5], [-1, -1], [5, -1]]))
    assert votes.phrase.tolist() == [[7, 5], [-1, -1], [5, -1]]
    torch.testing.assert_close(votes.share, torch.tensor([[0.8, 0.2], [0, 0], [1, 0]]))
    torch.testing.assert_close(votes.score, torch.tensor([0.2, 0.0, 1.0]))
    assert votes.views.tolist() == [3, 0, 1]
    torch.testing.assert_close(votes.distance, torch.tensor([5.0, 0.1, 0.2]))


def test_without_a_vote_a_phrase_has_the_whole_share_of_one_view() -> None:
    votes = point_votes(paired(None), np.array([[7], [-1], [5]]))
    certain = PhraseVotes.certain(torch.tensor([7, -1, 5]))
    for name in ("phrase", "share", "score", "views"):
        assert torch.equal(getattr(votes, name), getattr(certain, name)), name


def test_a_voxel_takes_all_columns_from_its_first_point_with_a_phrase() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(300, 3, generator=generator) * 3
    phrase = torch.randint(-1, 4, (300, 2), generator=generator)
    rest = torch.rand(300, 5, generator=generator)
    votes = PhraseVotes(phrase, rest[:, :2], *rest[:, 2:].unbind(1))
    voxels = voxelise(points, 0.5)
    found = first_votes(votes, voxels)
    assert torch.equal(found.strongest, first_valid(phrase[:, 0], voxels))
    for voxel in range(len(voxels.coords)):
        inside = [place for place in range(300) if voxels.inverse[place] == voxel and phrase[place, 0] >= 0]
        for name, column in vars(found).items():
            none = -1 if name == "phrase" else 0
            expected = getattr(votes, name)[inside[0]] if inside else torch.full_like(column[voxel], none)
            assert torch.equal(column[voxel], expected), name
