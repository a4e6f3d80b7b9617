from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from train.methods.parts.label_prior import (
    LabelPriorConfig,
    PhraseCounts,
    UnlabelledTrust,
    believed,
    held_out_trust,
    likeliest_trust,
)

PLAIN = LabelPriorConfig(phrase_points=10, class_points=0, min_cosine=1, names=False)


def unrelated(*folds: Tensor) -> PhraseCounts:
    """Phrases none of which is like another or a class's name."""
    stacked = torch.stack(folds).float()
    phrases = stacked.shape[1]
    return PhraseCounts(stacked, torch.eye(phrases), torch.full((phrases,), -1))


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


def test_unlabelled_trust_looks_at_sure_points_with_a_phrase_alone() -> None:
    # Phrase 0 fits class 0 by ratio 2, phrase 1 by 1/2: three points and two, repeated; the rest is no case.
    evidence = torch.tensor([[2.0, 1.0], [0.5, 1.0]]).log()
    belief = torch.cat([sure(0, 0, 0, 0, 0), torch.tensor([[0.7, 0.3]]), sure(0)])
    phrase = torch.tensor([0, 0, 0, 1, 1, 1, -1])
    trusted = UnlabelledTrust(2, horizon=10)
    trusted.update(belief.repeat(20, 1), evidence, phrase.repeat(20), 0.8)
    assert trusted.seen.sum() == 100
    assert trusted.trust == pytest.approx(0.8, abs=0.03), "levels of evidence are an eighth of a nat apart"


def test_unlabelled_trust_does_not_judge_a_class_by_few_points() -> None:
    trusted = UnlabelledTrust(2, horizon=1000)
    for count, expected in ((0, 0.0), (19, 0.0), (2, 1.0)):
        phrase = torch.zeros(count, dtype=torch.int64)
        trusted.update(sure(0).expand(count, 2), torch.tensor([[1.0, -1.0]]), phrase, 0.8)
        assert trusted.trust == pytest.approx(expected, abs=1e-5)


def test_unlabelled_trust_forgets() -> None:
    evidence, phrase = torch.tensor([[1.0, -1.0]]), torch.zeros(100, dtype=torch.int64)
    trusted = UnlabelledTrust(2, horizon=2)
    trusted.update(sure(0).expand(100, 2), evidence, phrase, 0.8)
    assert trusted.trust > 0.99
    for _ in range(10):
        trusted.update(sure(0).expand(100, 2), -evidence, phrase, 0.8)
    assert trusted.trust < 0.01


def test_evidence_beyond_the_last_level_is_counted_there() -> None:
    trusted = UnlabelledTrust(2, horizon=2)
    trusted.update(sure(0, 1), torch.tensor([[50.0, -50.0]]), torch.zeros(2, dtype=torch.int64), 0.8)
    assert trusted.seen[0, -1] == 1 and trusted.seen[1, 0] == 1
