from __future__ import annotations

import torch

from train.methods.parts.votes import PhraseVotes


def some() -> PhraseVotes:
    phrase, share = torch.tensor([[3, 1], [2, -1], [-1, -1]]), torch.tensor([[0.6, 0.1], [0.5, 0], [0, 0]])
    views, distance = torch.tensor([4.0, 1.0, 0.0]), torch.tensor([10.0, 250.0, 5.0])
    return PhraseVotes(phrase, share, torch.tensor([0.9, 0.4, 0.0]), views, distance)


def test_signs_are_margin_score_views_and_distance() -> None:
    # Four views are two doublings of eight; 100 m and more are far.
    expected = [[0.5, 0.9, 0.25, 0.1], [0.5, 0.4, 0.0, 1.0], [0.0, 0.0, 0.0, 0.05]]
    torch.testing.assert_close(some().signs, torch.tensor(expected))


def test_a_single_phrase_has_its_share_as_margin() -> None:
    votes = PhraseVotes.certain(torch.tensor([2, -1]))
    torch.testing.assert_close(votes.signs, torch.tensor([[1.0, 1, 0, 0], [0, 0, 0, 0]]))
    assert votes.strongest.tolist() == [2, -1] and votes.is_named.tolist() == [True, False]


def test_alone_is_the_strongest_phrase_with_the_whole_share() -> None:
    alone = some().alone()
    assert alone.phrase.tolist() == [[3], [2], [-1]] and alone.share.tolist() == [[1], [1], [0]]
    assert torch.equal(alone.score, some().score) and len(alone) == 3


def test_rows_and_parts_are_taken_and_put_together_column_by_column() -> None:
    votes = some()
    again = PhraseVotes.cat([votes[torch.tensor([True, False, False])], votes[torch.tensor([1, 2])]])
    for name, column in vars(votes).items():
        assert torch.equal(getattr(again, name), column), name
