from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from train.methods.parts.label_prior import LabelPriorConfig, PhraseCounts, log_ratio, posterior, said
from train.methods.parts.votes import PhraseVotes

PLAIN = LabelPriorConfig(phrase_points=10, class_points=0, min_cosine=1, names=False)


def unrelated(counts: Tensor, *folds: Tensor) -> PhraseCounts:
    """Phrases none of which is like another or a class's name."""
    stacked = torch.stack([counts, *folds]).float()
    phrases = stacked.shape[1]
    return PhraseCounts(stacked, torch.eye(phrases), torch.full((phrases,), -1))


def ratios(phrases: PhraseCounts, config: LabelPriorConfig) -> Tensor:
    return log_ratio(phrases.counts.sum(dim=0), phrases, config).exp()


def test_ratio_is_the_smoothed_posterior_over_the_prior() -> None:
    # 8 + 1 points of class 0 and 10 + 1 of class 1: priors 0.45 and 0.55.
    # Phrase 0: (8 + 4.5, 2 + 5.5) of 20 points = 0.625, 0.375. Phrase 1: (0 + 4.5, 8 + 5.5) of 18.
    phrases = unrelated(torch.tensor([[8, 2], [0, 8]]))
    expected = [[0.625 / 0.45, 0.375 / 0.55], [0.25 / 0.45, 0.75 / 0.55]]
    torch.testing.assert_close(ratios(phrases, PLAIN), torch.tensor(expected))


def test_phrase_that_no_labelled_point_carries_says_nothing() -> None:
    phrases = unrelated(torch.tensor([[8, 2], [0, 0]]))
    torch.testing.assert_close(ratios(phrases, PLAIN)[1], torch.ones(2))


@pytest.mark.parametrize("class_points", [0, 10])
def test_class_without_labelled_points_is_neither_favoured_nor_excluded(class_points: float) -> None:
    phrases = unrelated(torch.tensor([[80, 0, 0], [0, 80, 0]]))
    config = LabelPriorConfig(class_points=class_points, min_cosine=1, names=False)
    assert ratios(phrases, config)[:, 2].tolist() == [1, 1]


def test_class_with_few_points_has_its_ratio_drawn_to_one() -> None:
    # Class 1 has 10 points: with class_points 10 half of what its ratio is above or below 1 remains.
    phrases = unrelated(torch.tensor([[50, 0], [0, 10]]))
    drawn = LabelPriorConfig(phrase_points=10, class_points=10, min_cosine=1, names=False)
    torch.testing.assert_close(ratios(phrases, drawn)[:, 1], 1 + (ratios(phrases, PLAIN)[:, 1] - 1) / 2)


def test_unseen_phrase_borrows_from_those_like_it() -> None:
    # "auto", row 2, is nearest to "car", row 0, at cosine 0.8, and at 0.6 to "tree", row 1, below the bound.
    # It expects the mean of the prior (0.5, 0.5) and of what car says (1, 0).
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]])
    counts = torch.tensor([[[20.0, 0.0], [0.0, 20.0], [0.0, 0.0]]])
    phrases = PhraseCounts(counts, rows, torch.full((3,), -1))
    borrowing = LabelPriorConfig(phrase_points=10, class_points=0, min_cosine=0.7, names=False)
    torch.testing.assert_close(ratios(phrases, borrowing)[2], torch.tensor([1.5, 0.5]))


def test_many_points_of_its_own_outweigh_what_a_phrase_borrows() -> None:
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.1]])
    phrases = PhraseCounts(torch.tensor([[[1000.0, 0.0], [0.0, 1000.0]]]), rows, torch.full((2,), -1))
    told = ratios(phrases, LabelPriorConfig(names=False))
    assert told.argmax(dim=1).tolist() == [0, 1]
    assert (told.amin(dim=1) < 0.1).all()


def test_name_of_a_class_vouches_for_it_and_for_phrases_like_it() -> None:
    # Counts say nothing: every class has three points, all of them of row 2. Rows 0 and 1 are the name of
    # class 1 and one like it, as unlike row 2, the name of class 0, as can be: of K = 2 named classes the
    # softmax is (0, 1), so ratios (1 + 0) / 2 and (1 + 2) / 2. Class 2 has no name: nothing is said of it.
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    counts = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [3.0, 3.0, 3.0]]])
    config = LabelPriorConfig(class_points=0, min_cosine=1, names=True)
    told = ratios(PhraseCounts(counts, rows, torch.tensor([1, -1, 0])), config)
    torch.testing.assert_close(told[0], torch.tensor([0.5, 1.5, 1.0]), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(told[1], told[0])


def test_a_class_is_as_like_a_phrase_as_the_likest_of_its_names() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    nothing = torch.zeros(1, 3, 2)
    both = ratios(PhraseCounts(nothing, rows, torch.tensor([0, 0, 1])), LabelPriorConfig())
    torch.testing.assert_close(both[2], torch.ones(2), msg="rows 1 and 2 are equal and name either class")
    assert both[0, 0] > 1.4


def test_names_speak_for_a_class_that_the_labelled_scans_lack_until_the_phrase_is_known() -> None:
    # Row 1 names class 1, which has no point. With 30 points of doubt, 90 of the phrase leave a quarter.
    rows = torch.eye(2)
    named = torch.tensor([0, 1])
    for points, share in ((0.0, 1.0), (90.0, 0.25)):
        counts = torch.tensor([[[30.0, 0.0], [points, 0.0]]])
        with_names, without = (
            log_ratio(counts[0], PhraseCounts(counts, rows, named), LabelPriorConfig(names=names))
            for names in (True, False)
        )
        told = (with_names - without)[1]
        torch.testing.assert_close(told, share * torch.tensor([0.5, 1.5]).log(), rtol=1e-3, atol=1e-3)


@given(st.lists(st.lists(st.integers(1, 500), min_size=4, max_size=4), min_size=3, max_size=3))
@settings(max_examples=50, deadline=None)
def test_what_counts_say_of_a_phrase_is_a_distribution(counts: list[list[int]]) -> None:
    table = torch.tensor(counts, dtype=torch.float32)
    rows = torch.tensor([[1.0, 0.2], [0.9, 0.4], [-0.3, 1.0]])
    phrases = PhraseCounts(table.unsqueeze(0), rows, torch.tensor([2, -1, 0]))
    prior = (table.sum(dim=0) + 1) / (table.sum() + 4)
    config = LabelPriorConfig(class_points=0, names=False)
    posterior = log_ratio(table, phrases, config).exp() * prior
    torch.testing.assert_close(posterior.sum(dim=1), torch.ones(3))
    assert (posterior > 0).all()


def of_points(evidence: Tensor, *phrase: int) -> tuple[Tensor, Tensor]:
    """What the phrases of points, one each, say, and which points have one."""
    votes = PhraseVotes.certain(torch.tensor(phrase))
    return said(evidence, votes), votes.is_named


def test_a_point_hears_its_phrases_by_their_shares_and_nothing_from_the_rest_of_the_votes() -> None:
    # Ratios 3 and 1/2 with shares 0.5 and 0.3, and 1 with the 0.2 that are left: 1.5 + 0.15 + 0.2 = 1.85.
    evidence = torch.tensor([[3.0], [0.5]]).log()
    none = torch.zeros(3)
    phrase, share = torch.tensor([[0, 1], [1, -1], [-1, -1]]), torch.tensor([[0.5, 0.3], [1, 0], [0, 0]])
    told = said(evidence, PhraseVotes(phrase, share, none, none, none))
    torch.testing.assert_close(told, torch.tensor([[1.85], [0.5], [1.0]]).log())


def test_product_is_bayes_rule() -> None:
    # (0.6, 0.4) times (0.5, 1.5) = (0.3, 0.6), so (1/3, 2/3).
    evidence = torch.tensor([[0.5, 1.5]]).log()
    belief = torch.tensor([[0.6, 0.4], [0.6, 0.4]])
    told = posterior(belief, *of_points(evidence, 0, -1))
    torch.testing.assert_close(told, torch.tensor([[1 / 3, 2 / 3], [0.6, 0.4]]))


def test_temperature_weakens_the_belief_beside_a_phrase_alone() -> None:
    # (0.9, 0.1) ^ 1/2 is (3, 1) of 4: times (0.5, 1.5) it is (1.5, 1.5).
    evidence = torch.tensor([[0.5, 1.5]]).log()
    belief = torch.tensor([[0.9, 0.1], [0.9, 0.1]])
    told = posterior(belief, *of_points(evidence, 0, -1), temperature=2.0)
    torch.testing.assert_close(told, torch.tensor([[0.5, 0.5], [0.9, 0.1]]))


def test_strength_is_an_exponent() -> None:
    evidence, belief = torch.tensor([[0.25, 4.0]]).log(), torch.tensor([[0.5, 0.5]])
    half, none = (posterior(belief, *of_points(evidence, 0), strength) for strength in (0.5, 0.0))
    torch.testing.assert_close(half, torch.tensor([[0.2, 0.8]]))
    torch.testing.assert_close(none, belief)


def test_belief_of_exactly_zero_stays_a_number() -> None:
    told = posterior(torch.tensor([[1.0, 0.0]]), *of_points(torch.tensor([[-5.0, 5.0]]), 0))
    torch.testing.assert_close(told, torch.tensor([[1.0, 0.0]]))


def test_without_any_phrase_the_product_is_the_belief() -> None:
    belief = torch.tensor([[0.3, 0.7]])
    torch.testing.assert_close(posterior(belief, *of_points(torch.empty(0, 2), -1)), belief)


def test_labelled_scans_without_any_phrase_tell_nothing() -> None:
    empty = torch.zeros(2, 3)
    assert log_ratio(empty, unrelated(empty), LabelPriorConfig()).abs().max() < 1e-6


@pytest.mark.parametrize(
    "setting", [{"phrase_points": 0}, {"class_points": -1}, {"min_cosine": 2}, {"temperature": 0}]
)
def test_value_out_of_range_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        LabelPriorConfig(**setting)
