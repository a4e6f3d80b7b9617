from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lass3d_core.labels import IGNORE
from tests.phrase_counts import counts_of
from train.methods.parts.label_prior import (
    FURTHEST,
    SCENE_POINTS,
    LabelledVotes,
    LabelPriorConfig,
    PhraseCounts,
    log_ratio,
    meaning_of,
    named_class,
    posterior,
    said,
    scene_votes,
)
from train.methods.parts.votes import PhraseVotes

WORDS = LabelPriorConfig(language=1, doubt=0.2, min_cosine=1, class_points=0)
"""Language has one vote, and no phrase borrows."""
COUNTED = LabelPriorConfig(language=0, names=False, min_cosine=1, class_points=0)
"""The scenes alone."""


def ratios(phrases: PhraseCounts, config: LabelPriorConfig) -> Tensor:
    return log_ratio(phrases, config).exp()


def test_a_scene_has_half_a_vote_with_thirty_points_of_a_phrase_and_never_more_than_one() -> None:
    few = torch.tensor([[0.8, 0.2], [0.0, 0.0]]) * SCENE_POINTS
    torch.testing.assert_close(scene_votes(few), torch.tensor([[0.4, 0.1], [0.0, 0.0]]))
    many = scene_votes(1e6 * few)
    torch.testing.assert_close(many, torch.tensor([[0.8, 0.2], [0.0, 0.0]]), rtol=1e-4, atol=0)


def test_a_scene_has_one_vote_however_many_points_it_has() -> None:
    """Two scenes of three say class 1: with as many points as the other, and with a hundredth of them."""
    for others in (1e8, 1e6):
        scenes = torch.tensor([[[1e8, 0.0]], [[0.0, others]], [[0.0, others]]])
        told = meaning_of(counts_of(scenes), COUNTED)
        torch.testing.assert_close(told, torch.tensor([[1 / 3, 2 / 3]]), rtol=1e-3, atol=1e-3)


def test_the_vote_of_the_language_stands_against_those_of_the_scenes() -> None:
    # Both classes have 30 points, so the prior is 0.5. Phrase 0 names class 0, which with a doubt of 0.2 is
    # (0.9, 0.1), and its 30 points are of class 1, half a vote: (0.9, 0.1 + 0.5) of 1.5 is (0.6, 0.4).
    # With half a vote for the language it is (0.45, 0.05 + 0.5) of 1.
    phrases = counts_of(torch.tensor([[[0, 30], [30, 0]]]), [[0], [1]])
    torch.testing.assert_close(ratios(phrases, WORDS), torch.tensor([[1.2, 0.8], [0.8, 1.2]]))
    half = LabelPriorConfig(language=0.5, doubt=0.2, min_cosine=1, class_points=0)
    torch.testing.assert_close(ratios(phrases, half)[0], torch.tensor([0.9, 1.1]))


def test_the_more_scenes_contradict_the_language_the_less_it_says() -> None:
    """Each has 1000 points of the phrase and says that it never is the class that it names."""
    scene = torch.tensor([[0.0, 1000.0], [1000.0, 0.0]])
    for scenes in (1, 2, 8):
        told = meaning_of(counts_of(scene.expand(scenes, -1, -1), [[0], [1]]), WORDS)[0, 0]
        assert told.item() == pytest.approx(0.9 / (1 + scenes * 1000 / 1030), rel=1e-4)


def test_which_of_the_classes_that_a_word_names_is_left_to_the_network() -> None:
    # "tree" is vegetation or trunk, ten times as rare; car has as many points as both. What the words say is
    # 1 / (1/2) for both: 0.2 + 0.8 * 2. The prior gives every class 0.2 % of the points.
    counts = torch.tensor([[[0.0, 0, 0], [1000, 0, 0], [0, 100, 0], [0, 0, 1100]]])
    vegetation, trunk, car = ratios(counts_of(counts, [[0, 1], [0], [1], [2]]), WORDS)[0].tolist()
    assert vegetation == pytest.approx(trunk, rel=1e-5)
    assert vegetation == pytest.approx(1.8, rel=0.01) and car == pytest.approx(0.2, rel=0.01)


def test_a_phrase_that_no_word_names_takes_the_names_most_like_it() -> None:
    # Every class has three points, all of row 2. Row 0 is the same as row 1, a name of class 1, and as unlike
    # row 2, a name of class 0, as can be: the softmax over the K = 2 classes is (0, 1), times K it is (0, 2).
    # Class 2 has no name and keeps 1. So 0.2 + 0.8 (0, 2, 1).
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    counts = torch.tensor([[[0.0, 0, 0], [0, 0, 0], [3, 3, 3]]])
    told = ratios(counts_of(counts, [[], [1], [0]], rows), WORDS)
    torch.testing.assert_close(told[0], torch.tensor([0.2, 1.8, 1.0]), rtol=1e-3, atol=1e-3)


def test_a_class_is_as_like_a_phrase_as_the_likest_of_its_names() -> None:
    # Rows 0 and 1 name class 0, row 2 names class 1. Row 3 is the same as row 1 and as row 2.
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    told = ratios(counts_of(torch.zeros(1, 4, 2), [[0], [0], [1], []], rows), WORDS)
    torch.testing.assert_close(told[3], torch.ones(2))


def test_a_phrase_that_no_word_names_borrows_the_counts_of_phrases_like_it() -> None:
    # "auto", row 2, is nearest to "car", row 0, at cosine 0.8, and at 0.6 to "tree", row 1, below the bound.
    # The language, which knows nothing, votes for the prior (0.5, 0.5), and car's counts for (1, 0).
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]])
    counts = torch.tensor([[[20.0, 0.0], [0.0, 20.0], [0.0, 0.0]]])
    borrowing = LabelPriorConfig(language=1, doubt=0.2, names=False, min_cosine=0.7, class_points=0)
    told = ratios(counts_of(counts, rows=rows), borrowing)
    torch.testing.assert_close(told[2], torch.tensor([1.5, 0.5]))


def test_names_and_borrowed_counts_have_the_same_say() -> None:
    """ "auto" is like "car", which names class 0, and which was counted for class 1 alone."""
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1]])
    counts = torch.tensor([[[0.0, 1e4], [1e4, 0.0], [0.0, 0.0]]])
    config = LabelPriorConfig(doubt=0, min_cosine=0.7, class_points=0)
    told = ratios(counts_of(counts, [[0], [1], []], rows), config)
    torch.testing.assert_close(told[2], torch.ones(2), rtol=1e-3, atol=1e-3)


def test_a_phrase_with_a_name_borrows_as_much_as_its_name_says() -> None:
    """Both rows name class 0. Row 0 was counted for class 1 alone, row 1 never."""
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.1]])
    counts = torch.tensor([[[0.0, 1e4], [0.0, 0.0]]])
    phrases = counts_of(counts, [[0], [0]], rows)
    for similar, expected in ((1.0, [0.5, 0.5]), (3.0, [0.25, 0.75]), (0.0, [1.0, 0.0])):
        told = meaning_of(phrases, LabelPriorConfig(doubt=0, similar=similar))
        torch.testing.assert_close(told[1], torch.tensor(expected), atol=1e-4, rtol=0)


def test_scenes_of_its_own_outweigh_what_a_phrase_borrows() -> None:
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.1]])
    scene = torch.tensor([[1000.0, 0.0], [0.0, 1000.0]])
    told = meaning_of(counts_of(scene.expand(9, -1, -1), rows=rows), LabelPriorConfig(names=False))
    assert told.argmax(dim=1).tolist() == [0, 1]
    assert told.amin(dim=1).max() < 0.2


@pytest.mark.parametrize("language", [0.0, 1.0])
def test_without_names_and_counts_a_phrase_says_nothing(language: float) -> None:
    # Row 1 was never counted, and is like no other phrase.
    phrases = counts_of(torch.tensor([[[8, 2], [0, 0]]]), [[0], [1]])
    config = LabelPriorConfig(language=language, names=False, min_cosine=1)
    torch.testing.assert_close(ratios(phrases, config)[1], torch.ones(2))
    nothing = counts_of(torch.zeros(2, 2, 3))
    assert log_ratio(nothing, LabelPriorConfig(language=language)).abs().max() < 1e-6


def test_without_names_the_words_of_a_phrase_change_nothing() -> None:
    counts, config = torch.tensor([[[8, 2], [0, 7]]]), LabelPriorConfig(names=False)
    with_words, without = (log_ratio(counts_of(counts, means), config) for means in ([[1], [0]], ()))
    assert torch.equal(with_words, without)


@pytest.mark.parametrize("class_points", [0, 10])
def test_a_class_that_no_labelled_scan_shows_is_rare_and_not_impossible(class_points: float) -> None:
    """Its name speaks for it, strongly, and no other phrase speaks against it."""
    phrases = counts_of(torch.tensor([[[80, 0, 0], [0, 80, 0], [0, 0, 0]]]), [[0], [1], [2]])
    told = log_ratio(phrases, LabelPriorConfig(class_points=class_points, min_cosine=1))
    assert told[:2, 2].tolist() == [0, 0]
    assert told[2, 2] > 3 and (told[2, :2] < 0).all()
    assert meaning_of(phrases, LabelPriorConfig(min_cosine=1))[2, 2] > 0.5


def test_class_with_few_points_has_a_ratio_below_one_drawn_to_one() -> None:
    # Class 1 has 10 points: with class_points 10 half of what its ratio is below 1 remains, and all above.
    phrases = counts_of(torch.tensor([[[50, 0], [0, 10]]]), [[0], [1]])
    plain, drawn = (
        ratios(phrases, LabelPriorConfig(class_points=points, min_cosine=1)) for points in (0, 10)
    )
    assert plain[0, 1] < 1 < plain[1, 1]
    torch.testing.assert_close(drawn[0, 1], 1 + (plain[0, 1] - 1) / 2)
    torch.testing.assert_close(drawn[1, 1], plain[1, 1])


def counts_and_names() -> st.SearchStrategy[PhraseCounts]:
    """Two scenes, three phrases, four classes; with phrases that name none, one and several."""
    cells = st.lists(st.sampled_from([0.0, 1.0, 29.0, 500.0, 1e6]), min_size=24, max_size=24)
    names = st.lists(st.lists(st.integers(0, 3), max_size=3), min_size=3, max_size=3)
    rows = torch.tensor([[1.0, 0.2], [0.9, 0.4], [-0.3, 1.0]])
    return st.builds(lambda c, n: counts_of(torch.tensor(c).view(2, 3, 4), n, rows), cells, names)


@given(counts_and_names(), st.sampled_from([0.0, 1.0, 3.0]), st.floats(0, 1), st.booleans())
@settings(max_examples=100, deadline=None)
def test_what_a_phrase_means_is_a_distribution_and_its_evidence_is_bounded(
    phrases: PhraseCounts, language: float, doubt: float, names: bool
) -> None:
    config = LabelPriorConfig(language=language, doubt=doubt, names=names)
    told, evidence = meaning_of(phrases, config), log_ratio(phrases, config)
    torch.testing.assert_close(told.sum(dim=1), torch.ones(3))
    assert (told >= 0).all() and evidence.isfinite().all()
    assert evidence.abs().max() <= FURTHEST


def test_no_phrase_says_more_than_six_nats() -> None:
    """A class of 0.2 % of the points would be 503 times as likely, 6.2 nats."""
    phrases = counts_of(torch.tensor([[[1e9, 0, 0], [0, 1e9, 0], [0, 0, 0]]]), [[0], [1], [2]])
    certain = LabelPriorConfig(doubt=0, class_points=0, min_cosine=1)
    told = log_ratio(phrases, certain)
    assert told[2, 2] == FURTHEST and told.amin() == -FURTHEST


def test_counts_without_a_fold_are_those_of_the_others() -> None:
    scenes = torch.randint(0, 50, (3, 4, 2), generator=torch.Generator().manual_seed(0))
    means = [[0], [], [1], [0, 1]]
    points = LabelledVotes(torch.tensor([1]), torch.tensor([0]), PhraseVotes.certain(torch.tensor([2])))
    whole = counts_of(scenes, means)._replace(points=points)
    for fold in range(3):
        left = whole.without(fold)
        others = counts_of(scenes[[other for other in range(3) if other != fold]], means)
        assert torch.equal(left.counts, others.counts) and torch.equal(left.scenes, others.scenes)
        assert torch.equal(log_ratio(left, WORDS), log_ratio(others, WORDS))
        assert left.points is None
    assert len(whole.counts) == 3


def test_the_named_class_is_the_one_with_most_points_of_those_that_the_words_name() -> None:
    phrases = counts_of(torch.tensor([[[5, 0, 9], [0, 0, 0], [0, 7, 0], [0, 0, 0]]]), [[0, 1], [0], [], [2]])
    assert named_class(phrases).tolist() == [1, 0, IGNORE, 2]


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


def test_the_temperature_may_be_a_tensor() -> None:
    evidence, belief = torch.tensor([[0.5, 1.5]]).log(), torch.tensor([[0.9, 0.1], [0.9, 0.1]])
    of_number, of_tensor = (
        posterior(belief, *of_points(evidence, 0, -1), temperature=one) for one in (3.0, torch.tensor(3.0))
    )
    assert torch.equal(of_number, of_tensor) and not torch.equal(of_number[0], of_number[1])


@pytest.mark.parametrize(
    "setting",
    [{"language": -1}, {"doubt": 1.1}, {"class_points": -1}, {"min_cosine": 2}, {"temperature": 0}],
)
def test_value_out_of_range_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        LabelPriorConfig(**setting)
