from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lass3d_core.labels import IGNORE
from lass3d_core.paper.losses import cross_entropy
from tests.phrase_counts import counts_of
from train.methods import lass3d_plus
from train.methods.contract import Ingredients, SemiBatch
from train.methods.lass3d_plus import Lass3dPlus, Lass3dPlusConfig
from train.methods.parts.band_mix import BandMixConfig
from train.methods.parts.label_prior import (
    LabelledVotes,
    LabelPriorConfig,
    PhraseCounts,
    log_ratio,
    posterior,
    said,
)
from train.methods.parts.phrase_trust import believed
from train.methods.parts.query import QueryConfig
from train.methods.parts.votes import PhraseVotes

EVERY = Lass3dPlusConfig(ramp_steps=0, tau_text=0.0, tau_free=0.0, safety=False, temperature=2.0)
"""Every unlabelled point has a pseudo-label, from the first step on, whatever an untrained teacher thinks."""
SAFE = replace(EVERY, safety=True)


def beliefs(method: Lass3dPlus, batch: SemiBatch) -> tuple[Tensor, Tensor, Tensor]:
    """On unlabelled points: the student's logits, the teacher's probabilities, the phrases."""
    unlabelled = ~batch.is_labelled
    with torch.no_grad():
        student, teacher = (net(batch.features, batch.pyramid) for net in (method.student, method.teacher))
    return student[unlabelled], teacher[unlabelled].softmax(dim=1), batch.phrase[unlabelled]


def take_losses(method: Lass3dPlus, batch: SemiBatch, step: int) -> None:
    """Compute the losses of a step and tell the method its measures, as the loop does."""
    method.losses(batch, step)
    method.hear(step, [{name: float(value) for name, value in method.measures.items()}])


def another_teacher(method: Lass3dPlus) -> Lass3dPlus:
    method.teacher.classifier[2].bias.data += torch.linspace(-1, 1, 5)
    return method


def test_pseudo_label_is_the_best_class_of_teacher_and_phrase(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    method = another_teacher(Lass3dPlus(EVERY, ingredients))
    student, teacher, phrase = beliefs(method, batch)
    evidence = log_ratio(ingredients.phrase_counts(), EVERY.prior)
    likelihood = torch.cat([evidence.exp(), torch.ones(1, 5)])[phrase]
    tempered = teacher ** (1 / EVERY.temperature)
    expected = cross_entropy(student, (tempered * likelihood).argmax(dim=1))
    torch.testing.assert_close(method.losses(batch, 0)["ce_u"], expected)
    assert method.measures["phrase_trust"] == 1 and method.measures["changed_share"] > 0.1


def test_strength_zero_is_the_same_method_without_text(batch: SemiBatch, ingredients: Ingredients) -> None:
    config = replace(EVERY, strength=0.0)
    student, teacher, _ = beliefs(method := another_teacher(Lass3dPlus(config, ingredients)), batch)
    terms = method.losses(batch, 0)
    torch.testing.assert_close(terms["ce_u"], cross_entropy(student, teacher.argmax(dim=1)))
    other = replace(batch, votes=PhraseVotes.certain(batch.phrase.flip(0)))
    assert torch.equal(method.losses(other, 0)["ce_u"], terms["ce_u"])
    assert method.measures["changed_share"] == 0


def test_points_below_the_thresholds_have_no_pseudo_label(batch: SemiBatch, ingredients: Ingredients) -> None:
    """Each kind of point has a threshold of its own: none can reach 1, all reach 0."""
    paired = int((batch.phrase[~batch.is_labelled] >= 0).sum())
    for text, free, expected in ((0.0, 1.0, paired), (1.0, 0.0, 120 - paired)):
        method = Lass3dPlus(replace(EVERY, tau_text=text, tau_free=free), ingredients)
        method.losses(batch, 0)
        assert method.measures["ce_u_points"] == expected


def test_pseudo_labels_come_in_by_a_linear_ramp(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = Lass3dPlus(replace(EVERY, ramp_steps=4, lambda_u=2.0), ingredients)
    terms = [float(method.losses(batch, step)["ce_u"].detach()) for step in (0, 1, 3, 50)]
    whole = terms[-1]
    assert terms == pytest.approx([whole / 4, whole / 2, whole, whole])


def test_no_gradient_reaches_the_teacher(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = Lass3dPlus(EVERY, ingredients)
    sum(method.losses(batch, 0).values()).backward()
    assert all(parameter.grad is None for parameter in method.teacher.parameters())
    assert all(bool(parameter.grad.any()) for parameter in method.student.classifier.parameters())


def counted(*scenes: Tensor) -> PhraseCounts:
    return counts_of(torch.stack(scenes), rows=torch.eye(6, 16))


def test_phrases_that_differ_between_labelled_scans_are_left_out_aloud(
    batch: SemiBatch, ingredients: Ingredients, capsys: pytest.CaptureFixture[str]
) -> None:
    table = torch.cat([40 * torch.eye(5), torch.zeros(1, 5)])
    misleading = replace(ingredients, phrase_counts=lambda: counted(table, table.roll(1, dims=0)))
    method = Lass3dPlus(SAFE, misleading)
    for step in range(3):
        take_losses(method, batch, step)
    assert method.measures["phrase_trust"] == 0
    said = capsys.readouterr().err
    assert said.count("OFF") == 1 and said.startswith("the label prior stays OFF: on held-out labelled scans")


def sure_teacher(method: Lass3dPlus, batch: SemiBatch, truth: Tensor) -> None:
    """Make the teacher sure of `truth` (M,) by features that hold it."""
    method.teacher.backbone.forward = lambda features, pyramid: torch.nn.functional.one_hot(truth, 12).float()
    method.teacher.classifier = torch.nn.Linear(12, 5, bias=False)
    method.teacher.classifier.weight.data = 20 * torch.eye(5, 12)


def test_phrases_wrong_on_unlabelled_scans_alone_are_noticed_and_forgiven(
    batch: SemiBatch, ingredients: Ingredients, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = torch.arange(240) % 5
    right = replace(batch, votes=PhraseVotes.certain(truth))
    wrong = replace(batch, votes=PhraseVotes.certain(torch.where(batch.is_labelled, truth, (truth + 1) % 5)))
    method = Lass3dPlus(replace(SAFE, horizon=2.0), ingredients)
    sure_teacher(method, batch, truth)
    trusts = []
    for step, seen in enumerate([right, wrong, wrong, wrong, right, right, right]):
        take_losses(method, seen, step)
        trusts.append(float(method.measures["phrase_trust"]))
    assert trusts[0] > 0.9 and trusts[3] == 0 and trusts[-1] > 0.7
    said = capsys.readouterr().err
    assert said.count("OFF") == 1 and said.count("the label prior is on") == 2


def test_without_safety_misleading_phrases_are_believed(batch: SemiBatch, ingredients: Ingredients) -> None:
    table = torch.cat([40 * torch.eye(5), torch.zeros(1, 5)])
    misleading = replace(ingredients, phrase_counts=lambda: counted(table, table.roll(1, dims=0)))
    method = Lass3dPlus(EVERY, misleading)
    method.losses(batch, 0)
    assert method.held_out < 0.1 and method.measures["phrase_trust"] == 1


def test_phrases_weigh_as_much_as_they_prove_right(batch: SemiBatch, ingredients: Ingredients) -> None:
    """Two points of five carry another class's phrase: 3/5 * 4 / (1 + 4 t) = 2/5 / (1 - t) at t = 1/2."""
    truth = torch.arange(240) % 5
    phrase = torch.where(torch.arange(240) % 25 < 10, (truth + 1) % 5, truth)
    seen = replace(batch, votes=PhraseVotes.certain(phrase))
    config = replace(SAFE, least_trust=0.3, prior=LabelPriorConfig(language=0))
    method = Lass3dPlus(config, replace(ingredients, phrase_counts=lambda: counted(40000 * torch.eye(6, 5))))
    sure_teacher(method, batch, truth)
    method.losses(seen, 0)
    assert method.measures["phrase_trust"] == pytest.approx(0.5, abs=0.03)
    teacher = torch.tensor([[0.6, 0.4, 0, 0, 0]])
    told, found = method._product(teacher, PhraseVotes.certain(torch.tensor([1])), still_rising=False)
    right = found["phrase_trust"].float()
    discounted = believed(method.evidence[1:2], right)
    temperature = 1 + (SAFE.temperature - 1) * max(0.0, float(2 * right - 1))
    expected = posterior(teacher, discounted, torch.tensor([True]), temperature=temperature)
    torch.testing.assert_close(told, expected)


def test_the_teacher_is_tempered_as_far_as_phrases_are_right(ingredients: Ingredients) -> None:
    """T = 3: 1 + 2 * (2 * 0.75 - 1) = 2, and 1 for phrases of which less than a half is right."""
    method = Lass3dPlus(replace(SAFE, temperature=3.0), ingredients)
    for right, temperature in ((1.0, 3.0), (0.75, 2.0), (0.5, 1.0), (0.2, 1.0)):
        assert method._temperature(torch.tensor(right, dtype=torch.float64)) == pytest.approx(temperature)


def test_labels_alone_teach_at_first(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = Lass3dPlus(replace(EVERY, labels_first=3, ramp_steps=2), ingredients)
    terms = [float(method.losses(batch, step)["ce_u"].detach()) for step in range(6)]
    assert terms[:3] == [0, 0, 0]
    assert terms[3] > 0 and terms[4] == pytest.approx(2 * terms[3]) and terms[5] == terms[4]


def test_trust_does_not_rise_once_phrases_teach(batch: SemiBatch, ingredients: Ingredients) -> None:
    """Half of the phrases are right until the ramp's end, then all are, then none."""
    truth = torch.arange(240) % 5
    half = torch.where(torch.arange(240) % 25 < 10, (truth + 1) % 5, truth)
    config = replace(SAFE, least_trust=0.0, ramp_steps=20, horizon=1.0, prior=LabelPriorConfig(language=0))
    method = Lass3dPlus(config, replace(ingredients, phrase_counts=lambda: counted(40000 * torch.eye(6, 5))))
    sure_teacher(method, batch, truth)
    trusts = []
    for phrase, steps in ((half, range(20)), (truth, range(20, 40)), ((truth + 1) % 5, range(40, 60))):
        for step in steps:
            method.losses(replace(batch, votes=PhraseVotes.certain(phrase)), step)
        trusts.append(float(method.measures["phrase_trust"]))
    assert trusts[0] == pytest.approx(0.5, abs=0.03) and trusts[1] == pytest.approx(trusts[0], abs=0.01)
    assert trusts[2] < 0.1


def test_a_single_labelled_scan_leaves_the_check_to_the_unlabelled_ones(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    table = torch.cat([40 * torch.eye(5), torch.zeros(1, 5)])
    truth = torch.arange(240) % 5
    method = Lass3dPlus(SAFE, replace(ingredients, phrase_counts=lambda: counted(table)))
    sure_teacher(method, batch, truth)
    method.losses(replace(batch, votes=PhraseVotes.certain(truth)), 0)
    assert math.isnan(method.held_out) and method.measures["phrase_trust"] > 0.9


@pytest.mark.parametrize(
    "setting",
    [
        {"alpha": 1.0},
        {"tau_text": 1.5},
        {"tau_free": -0.1},
        {"lambda_u": -1},
        {"strength": -1},
        {"horizon": 0},
        {"least_trust": 1.1},
    ],
)
def test_value_out_of_range_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        Lass3dPlusConfig(**setting)


def test_prior_is_a_part_of_the_configuration() -> None:
    assert Lass3dPlusConfig().prior == LabelPriorConfig()


def test_mixed_bands_carry_labels_and_corrected_pseudo_labels(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    """All voxels are in a mix, and the backbone sees each by itself: mixed logits are the logits."""
    method = another_teacher(Lass3dPlus(replace(EVERY, mix=BandMixConfig(weight=0.5)), ingredients))
    terms = method.losses(batch, 0)
    unlabelled = ~batch.is_labelled
    _, teacher, phrase = beliefs(method, batch)
    votes = PhraseVotes.certain(phrase)
    evidence = said(method.evidence, votes)
    belief = posterior(teacher, evidence, votes.is_named, EVERY.strength, EVERY.temperature)
    targets = batch.labels.clone()
    targets[unlabelled] = belief.argmax(dim=1)
    logits = method.student(batch.features, batch.pyramid)
    torch.testing.assert_close(terms["ce_mix"], 0.5 * cross_entropy(logits, targets))
    assert "ce_mix" not in Lass3dPlus(EVERY, ingredients).losses(batch, 0)


def test_the_query_head_trains_beside_the_student(batch: SemiBatch, ingredients: Ingredients) -> None:
    """Off: no term. On: the head alone has a gradient from it."""
    assert "query" not in Lass3dPlus(EVERY, ingredients).losses(batch, 0)
    method = Lass3dPlus(replace(EVERY, query=QueryConfig(weight=2.0)), ingredients)
    with torch.no_grad():
        features = method.teacher.embed(batch.features, batch.pyramid)
        expected = 2 * method.query_head.loss(features, batch.image, batch.entity, batch.texts)
    term = method.losses(batch, 0)["query"]
    torch.testing.assert_close(term, expected)
    term.backward()
    trained = {name.split(".")[0] for name, p in method.named_parameters() if p.grad is not None}
    assert trained == {"query_head"}


def test_a_second_phrase_counts_by_its_share_unless_the_strongest_alone_is_asked_for(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    method = another_teacher(Lass3dPlus(EVERY, ingredients))
    student, teacher, phrase = beliefs(method, batch)
    second = torch.where(phrase >= 0, (phrase + 1) % 6, -1)
    both, named = torch.stack([phrase, second], dim=1), (phrase >= 0).float()
    share = named[:, None] * torch.tensor([0.5, 0.4])
    whole = PhraseVotes.certain(batch.phrase)
    of_two = PhraseVotes(both, share, named, named, torch.zeros_like(named))
    labelled = batch.is_labelled
    padded = whole[labelled]
    padded = replace(
        padded,
        phrase=torch.nn.functional.pad(padded.phrase, (0, 1), value=-1),
        share=torch.nn.functional.pad(padded.share, (0, 1)),
    )
    voted = replace(batch, votes=PhraseVotes.cat([padded, of_two]))
    ratio = torch.cat([method.evidence.exp(), torch.ones(1, 5)])
    mixed = 0.5 * ratio[phrase] + 0.4 * ratio[second] + 0.1
    for votes, likelihood in (
        ("shares", torch.where(phrase[:, None] >= 0, mixed, 1)),
        ("strongest", ratio[phrase]),
    ):
        method.config = replace(EVERY, votes=votes)
        expected = (teacher ** (1 / EVERY.temperature) * likelihood).argmax(dim=1)
        # Without a phrase the teacher is not tempered, which changes no best class.
        torch.testing.assert_close(method.losses(voted, 0)["ce_u"], cross_entropy(student, expected))


def test_votes_of_a_group_that_proves_wrong_are_not_believed(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    """Near phrases are right and far ones are not, on labelled and on unlabelled scans."""
    truth = torch.arange(240) % 5
    far = torch.arange(240) % 2 == 1
    phrase = torch.where(far, (truth + 1) % 5, truth)
    votes = replace(PhraseVotes.certain(phrase), distance=torch.where(far, 80.0, 5.0))
    fold = torch.arange(240) // 10 % 2
    counts = torch.zeros(2, 6, 5)
    counts.index_put_((fold[~far], phrase[~far], truth[~far]), torch.full((120,), 1000.0), accumulate=True)
    known = counts_of(counts, rows=torch.eye(6, 16), points=LabelledVotes(fold, truth, votes))
    config = replace(SAFE, least_trust=0.1)
    method = Lass3dPlus(config, replace(ingredients, phrase_counts=lambda: known))
    sure_teacher(method, batch, truth)
    for step in range(40):
        method.losses(replace(batch, votes=votes), step)
    assert method.groups.weight[3] < 0, "distance speaks against a phrase"
    group = method.groups(votes.signs)
    assert group[~far].min() > group[far].max()
    by_group = method.unlabelled_trust.by_group
    assert by_group[group[~far]].min() > 0.8 and by_group[group[far]].max() < 0.4


def by_name(ingredients: Ingredients) -> Ingredients:
    """Phrase p < 5 names class p and was never counted; phrase 5 names none."""
    phrases = counts_of(torch.zeros(1, 6, 5), [[0], [1], [2], [3], [4], []], torch.eye(6, 16))
    return replace(ingredients, phrase_counts=lambda: phrases)


def test_hard_words_label_the_voxels_whose_phrase_names_a_class_whatever_the_teacher_says(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    config = replace(EVERY, targets="words", tau_text=1.0, tau_free=0.0)
    method = Lass3dPlus(config, by_name(ingredients))
    student, _, phrase = beliefs(method, batch)
    is_named = (phrase >= 0) & (phrase < 5)
    expected = cross_entropy(student, torch.where(is_named, phrase, IGNORE))
    told = method.losses(batch, 0)["ce_u"]
    torch.testing.assert_close(told, expected)
    assert method.measures["ce_u_points"] == is_named.sum() and 0 < is_named.sum() < len(phrase)
    assert torch.equal(another_teacher(method).losses(batch, 0)["ce_u"], told)


def test_hard_words_do_not_ask_how_many_phrases_are_right(
    batch: SemiBatch, ingredients: Ingredients, capsys: pytest.CaptureFixture[str]
) -> None:
    table = torch.cat([40 * torch.eye(5), torch.zeros(1, 5)])
    misleading = replace(ingredients, phrase_counts=lambda: counted(table, table.roll(1, dims=0)))
    method = Lass3dPlus(replace(SAFE, targets="words"), misleading)
    take_losses(method, batch, 0)
    assert method.held_out < 0.1 and "phrases_right" not in method.measures
    assert capsys.readouterr().err == ""


def test_hard_words_without_phrases_are_refused() -> None:
    with pytest.raises(ValueError, match="strength=0 reads none"):
        Lass3dPlusConfig(targets="words", strength=0)


@pytest.mark.parametrize("rank", [0, 1])
def test_names_that_the_labels_contradict_are_said_once_by_the_first_process(
    batch: SemiBatch,
    ingredients: Ingredients,
    rank: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lass3d_plus.parallel, "rank", lambda: rank)
    phrases = ingredients.phrase_counts()._replace(contradictions=("car is person", "person is car"))
    for strength, expected in ((1.0, ["car is person", "person is car"]), (0.0, [])):
        config = replace(EVERY, strength=strength)
        method = Lass3dPlus(config, replace(ingredients, phrase_counts=lambda: phrases))
        for step in range(3):
            take_losses(method, batch, step)
        assert capsys.readouterr().err.splitlines() == (expected if rank == 0 else [])
