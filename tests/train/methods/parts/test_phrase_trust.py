from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.phrase_counts import counts_of
from train.methods.parts.label_prior import LabelledVotes, LabelPriorConfig, PhraseCounts, log_ratio
from train.methods.parts.phrase_trust import (
    GROUPS,
    SignGroups,
    TrustCeiling,
    UnlabelledTrust,
    believed,
    held_out_evidence,
    held_out_trust,
    likeliest_trust,
    likeliest_trusts,
    sign_weights,
)
from train.methods.parts.votes import PhraseVotes

PLAIN = LabelPriorConfig(language=0.3, class_points=0, min_cosine=1, names=False)


def unrelated(*scenes: Tensor) -> PhraseCounts:
    """Phrases none of which is like another or names a class."""
    return counts_of(torch.stack(scenes))


def test_half_believed_evidence_is_the_mean_of_its_ratio_and_one() -> None:
    told = believed(torch.tensor([4.0, 0.2, 1.0]).log(), 0.5)
    torch.testing.assert_close(told, torch.tensor([2.5, 0.6, 1.0]).log())


def test_all_or_nothing_is_believed_at_the_ends() -> None:
    evidence = torch.tensor([[-3.0, 0.5, 2.0]])
    torch.testing.assert_close(believed(evidence, 1.0), evidence)
    assert believed(evidence, 0.0).abs().max() == 0


def test_likeliest_trust_by_hand() -> None:
    # Ratio 2 at three points of five, 1/2 at two: 3/5 * 1 / (1 + t) = 2/5 * 1/2 / (1 - t/2) at t = 4/5.
    points, ratio = torch.tensor([[3.0, 2.0]]), torch.tensor([2.0, 0.5])
    assert likeliest_trust(points, ratio.log()) == pytest.approx(0.8, abs=1e-5)


def test_every_class_has_the_same_say_in_the_trust() -> None:
    # Class 0 sees ratio 2 alone, class 1 ratio 1/2 alone: 1 / (1 + t) = 1/2 / (1 - t/2) at t = 1/2.
    ratio = torch.tensor([2.0, 0.5])
    for points in ([[1.0, 0.0], [0.0, 1.0]], [[1000.0, 0.0], [0.0, 3.0]]):
        assert likeliest_trust(torch.tensor(points), ratio.log()) == pytest.approx(0.5, abs=1e-5)


def test_phrases_that_always_or_never_fit_are_trusted_wholly_or_not_at_all() -> None:
    points = torch.tensor([[5.0], [5.0]])
    assert likeliest_trust(points, torch.tensor([1.0])) == pytest.approx(1, abs=1e-5)
    assert likeliest_trust(points, torch.tensor([-1.0])) == pytest.approx(0, abs=1e-5)


def test_without_points_the_trust_is_not_a_number() -> None:
    assert math.isnan(likeliest_trust(torch.zeros(3, 2), torch.zeros(2)))


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(-4, 4)), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_no_trust_on_a_grid_is_likelier(seen: list[tuple[int, float]]) -> None:
    points = torch.tensor([[float(count) for count, _ in seen]])
    evidence = torch.tensor([told for _, told in seen])

    def likelihood(trust: float) -> float:
        return float((points[0].double() * believed(evidence.double(), trust)).sum())

    best = likelihood(likeliest_trust(points, evidence))
    assert all(likelihood(trust / 20) <= best + 1e-4 for trust in range(21))


def test_phrases_that_mean_the_same_on_other_scans_are_trusted() -> None:
    table = torch.tensor([[50, 2], [3, 40]])
    assert held_out_trust(unrelated(table, table), PLAIN) > 0.9


def test_phrases_that_mean_something_else_on_other_scans_are_not() -> None:
    table = torch.tensor([[50, 2], [3, 40]])
    assert held_out_trust(unrelated(table, table.flip(0)), PLAIN) < 0.1


def test_nothing_can_be_held_out_of_a_single_fold_or_of_scans_without_phrases() -> None:
    assert math.isnan(held_out_trust(unrelated(torch.tensor([[5, 1]])), PLAIN))
    assert math.isnan(held_out_trust(unrelated(torch.zeros(2, 3), torch.zeros(2, 3)), PLAIN))


def sure(*classes: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(classes), 2).float()


def see(trusted: UnlabelledTrust, belief: Tensor, evidence: Tensor, phrase: Tensor, group: int = 0) -> None:
    """Show points with phrases (U,), -1 for none, whose evidence is a row of `evidence` (P,2)."""
    of_points = torch.cat([evidence, torch.zeros(1, 2)])[phrase]
    trusted.update(belief, of_points, phrase >= 0, torch.full_like(phrase, group), 0.8)


def test_trusts_of_several_groups_are_those_of_each_by_itself() -> None:
    """Found together by finer cuts of the interval, to the same last halving."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randint(0, 9, (4, 3, 7), generator=generator).float()
    points[2] = 0
    evidence = torch.linspace(-4, 3, 7)
    apart = [likeliest_trust(one, evidence) for one in points]
    together = likeliest_trusts(points, evidence).tolist()
    assert together == pytest.approx(apart, abs=0, nan_ok=True) and math.isnan(apart[2])


def test_unlabelled_trust_looks_at_sure_points_with_a_phrase_alone() -> None:
    # Phrase 0 fits class 0 by ratio 2, phrase 1 by 1/2: three points and two, repeated; the rest is no case.
    evidence = torch.tensor([[2.0, 1.0], [0.5, 1.0]]).log()
    belief = torch.cat([sure(0, 0, 0, 0, 0), torch.tensor([[0.7, 0.3]]), sure(0)])
    phrase = torch.tensor([0, 0, 0, 1, 1, 1, -1])
    trusted = UnlabelledTrust(2, horizon=10)
    see(trusted, belief.repeat(20, 1), evidence, phrase.repeat(20))
    assert trusted.seen.sum() == 100
    assert trusted.trust == pytest.approx(0.8, abs=0.03), "levels of evidence are an eighth of a nat apart"


def test_unlabelled_trust_does_not_judge_a_class_by_few_points() -> None:
    trusted = UnlabelledTrust(2, horizon=1000)
    for count, expected in ((0, 0.0), (19, 0.0), (2, 1.0)):
        phrase = torch.zeros(count, dtype=torch.int64)
        see(trusted, sure(0).expand(count, 2), torch.tensor([[1.0, -1.0]]), phrase)
        assert trusted.trust == pytest.approx(expected, abs=1e-5)


def test_unlabelled_trust_forgets() -> None:
    evidence, phrase = torch.tensor([[1.0, -1.0]]), torch.zeros(100, dtype=torch.int64)
    trusted = UnlabelledTrust(2, horizon=2)
    see(trusted, sure(0).expand(100, 2), evidence, phrase)
    assert trusted.trust > 0.99
    for _ in range(10):
        see(trusted, sure(0).expand(100, 2), -evidence, phrase)
    assert trusted.trust < 0.01


def test_evidence_beyond_the_last_level_is_counted_there() -> None:
    trusted = UnlabelledTrust(2, horizon=2)
    see(trusted, sure(0, 1), torch.tensor([[50.0, -50.0]]), torch.zeros(2, dtype=torch.int64))
    assert trusted.seen[0, 0, -1] == 1 and trusted.seen[0, 1, 0] == 1


def test_each_group_has_its_own_trust_and_a_group_without_points_that_of_all() -> None:
    fits, zeros = torch.tensor([[1.0, -1.0]]), torch.zeros(10_000, dtype=torch.int64)
    trusted = UnlabelledTrust(2, horizon=1e9)
    see(trusted, sure(0).expand(10_000, 2), fits, zeros, group=4)
    see(trusted, sure(0).expand(10_000, 2), -fits, zeros, group=0)
    worst, *_, best = trusted.by_group.tolist()
    assert worst < 0.05 and best > 0.95
    assert trusted.by_group[2].item() == pytest.approx(trusted.trust, abs=1e-4)


def test_a_group_is_drawn_to_all_groups_by_a_hundred_points_of_each_class() -> None:
    # 100 points fit by ratio 2 in group 1, 100 do not by 1/2 in group 0. Group 1 and 100 of all: 150 and 50
    # of 200: 3/4 / (1 + t) = 1/4 * 1/2 / (1 - t/2) at t = 5/4, so 1. All: 1/2 / (1 + t) = 1/4 / (1 - t/2) at
    # t = 1/2.
    evidence, zeros = torch.tensor([[2.0, 1.0], [0.5, 1.0]]).log(), torch.zeros(100, dtype=torch.int64)
    trusted = UnlabelledTrust(2, horizon=1e9)
    see(trusted, sure(0).expand(100, 2), evidence, zeros, group=1)
    see(trusted, sure(0).expand(100, 2), evidence, zeros + 1, group=0)
    assert trusted.trust == pytest.approx(0.5, abs=0.03)
    assert trusted.by_group.tolist() == pytest.approx([0, 1, 0.5, 0.5, 0.5], abs=0.03)


def capped(ceiling: TrustCeiling, right: float, still_rising: bool) -> tuple[float, float]:
    """What becomes of an estimate whose only group has half of it."""
    of_all = torch.tensor(right, dtype=torch.float64)
    found, by_group = ceiling(of_all, torch.tensor([right / 2]), still_rising)
    return float(found), float(by_group[0])


def test_a_ceiling_follows_the_estimate_while_the_ramp_rises_and_holds_it_afterwards() -> None:
    ceiling = TrustCeiling(horizon=1)
    assert capped(ceiling, 0.9, still_rising=True) == pytest.approx((0.9, 0.45))
    assert capped(ceiling, 0.6, still_rising=True) == pytest.approx((0.6, 0.3))
    assert capped(ceiling, 0.8, still_rising=False) == pytest.approx((0.6, 0.3))
    assert capped(ceiling, 0.5, still_rising=False) == pytest.approx((0.5, 0.25)), "it may fall"
    assert capped(ceiling, 0.7, still_rising=False) == pytest.approx((0.6, 0.3)), "and rise as far as before"


def test_a_ceiling_waits_for_the_first_estimates_of_a_short_schedule() -> None:
    ceiling = TrustCeiling(horizon=2)
    for _ in range(5):
        assert capped(ceiling, 0.0, still_rising=False) == (0, 0), "nothing is known yet"
    assert capped(ceiling, 0.3, still_rising=False)[0] == pytest.approx(0.3)
    assert capped(ceiling, 0.7, still_rising=False)[0] == pytest.approx(0.7)
    assert capped(ceiling, 0.9, still_rising=False)[0] == pytest.approx(0.7)


def test_a_ceiling_is_part_of_a_checkpoint() -> None:
    ceiling, resumed = TrustCeiling(horizon=1), TrustCeiling(horizon=1)
    capped(ceiling, 0.6, still_rising=True)
    resumed.load_state_dict(ceiling.state_dict())
    assert capped(resumed, 0.9, still_rising=False) == pytest.approx((0.6, 0.3))


def voted(margin: Tensor, distance: Tensor, phrase: Tensor) -> PhraseVotes:
    """Votes with these margins and distances; all else is the same."""
    one = torch.ones_like(margin)
    return PhraseVotes(phrase[:, None], margin[:, None], one, one, distance)


def test_a_sign_that_tells_right_phrases_has_weight_and_one_that_does_not_has_none() -> None:
    generator = torch.Generator().manual_seed(0)
    margin, other = torch.rand(2, 4000, generator=generator)
    label = torch.arange(4000) % 2
    right = torch.rand(4000, generator=generator) < margin
    evidence = torch.where(right, 1.0, -1.0)
    signs = torch.stack([margin, torch.ones(4000), other, other.flip(0)], dim=1)
    weights = sign_weights(signs, label, evidence)
    assert weights[0] > 2 and weights[1] == 0
    assert weights[2:].abs().max() < 0.2 * weights[0]


def test_no_small_change_of_the_weights_is_likelier() -> None:
    generator = torch.Generator().manual_seed(1)
    signs = torch.rand(500, 4, generator=generator)
    label = torch.randint(0, 3, (500,), generator=generator)
    evidence = torch.where(torch.rand(500, generator=generator) < signs[:, 0], 1.5, -1.5)
    spread = signs.double().std(dim=0, correction=0)
    unit = (signs.double() - signs.double().mean(dim=0)) / spread
    share = 1 / torch.bincount(label)[label].double() / 3

    def objective(weights: Tensor) -> float:
        """With the best bias, by brute force."""
        z = unit @ (weights.double() * spread)
        trust = torch.sigmoid(z + torch.linspace(-8, 8, 1601, dtype=torch.float64)[:, None])
        likelihood = (share * torch.log1p(trust * torch.expm1(evidence.double()))).sum(dim=1).max()
        return float(likelihood - 0.01 * (weights.double() * spread).square().sum())

    best = sign_weights(signs, label, evidence)
    for sign in range(4):
        for step in (-0.1, 0.1):
            changed = best.clone()
            changed[sign] += step
            assert objective(changed) < objective(best) + 1e-6


def counted(margin: Tensor, phrase: Tensor, label: Tensor, folds: int = 2) -> PhraseCounts:
    """Counts of two phrases on two classes, and all their points. Fold i holds every folds-th point."""
    fold = torch.arange(len(label)) % folds
    counts = torch.zeros(folds, 2, 2)
    counts.index_put_((fold, phrase, label), torch.ones(len(label)), accumulate=True)
    points = LabelledVotes(fold, label, voted(margin, torch.zeros_like(margin), phrase))
    return counts_of(counts, points=points)


def test_votes_are_grouped_by_the_sign_that_tells_right_phrases() -> None:
    generator = torch.Generator().manual_seed(0)
    margin = torch.rand(4000, generator=generator)
    label = torch.arange(4000) // 2 % 2
    phrase = torch.where(torch.rand(4000, generator=generator) < margin, label, 1 - label)
    groups = SignGroups(counted(margin, phrase, label), PLAIN)
    found = groups(voted(margin, torch.zeros(4000), phrase).signs)
    assert torch.bincount(found).tolist() == pytest.approx([800] * GROUPS, abs=1)
    assert margin[found == 0].max() <= margin[found == GROUPS - 1].min()


def test_held_out_evidence_is_that_of_the_other_folds() -> None:
    phrase, label = torch.tensor([0, 0, 1, 1, 0, 1]), torch.tensor([0, 0, 1, 1, 1, 0])
    phrases = counted(torch.ones(6), phrase, label)
    found = held_out_evidence(phrases, phrases.points, PLAIN)
    for point in range(6):
        other = phrases.counts[[1 - point % 2]]
        expected = log_ratio(counts_of(other), PLAIN)[phrase[point], label[point]]
        torch.testing.assert_close(found[point], expected)


def test_without_two_folds_or_without_points_all_votes_are_in_one_group() -> None:
    margin, phrase = torch.rand(6), torch.tensor([0, 0, 1, 1, 0, 1])
    single = counted(margin, phrase, phrase, folds=1)
    without = counted(margin, phrase, phrase)._replace(points=None)
    for phrases in (None, single, without):
        assert not SignGroups(phrases, PLAIN)(torch.rand(10, 4)).any()
