from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy

from lass3d_core.paper.exploitation import ExploitationConfig
from lass3d_core.sparse.maps import build_pyramid
from train.methods.contract import Ingredients, SemiBatch
from train.methods.gpc import Gpc, GpcConfig, Side, balanced, guided_contrast
from train.methods.parts.class_bank import Bank

few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**31)
AT_ONCE = GpcConfig(labels_first=0, gate=0.0, anchors=50, negatives=100, bank=60, enqueued=20)


def side(embeddings: list[list[float]], confidence: list[float], classes: list[int]) -> Side:
    rows = torch.tensor(embeddings, requires_grad=True)
    return Side(rows, torch.tensor(confidence), torch.tensor(classes))


def test_contrast_of_one_anchor_by_hand() -> None:
    """Cosines: positive .6; negatives .8 of another class and 1 of the anchor's own, which does not count."""
    anchor, positive = side([[1.0, 0.0]], [0.2], [1]), side([[0.6, 0.8]], [0.9], [0])
    negatives = torch.tensor([[0.8, 0.6], [1.0, 0.0]])
    loss = guided_contrast(anchor, positive, (negatives, torch.tensor([2, 1])), 0.5, 0.75)
    expected = -math.log(math.exp(1.2) / (math.exp(1.2) + math.exp(1.6)))
    assert loss.item() == pytest.approx(expected)


def test_only_anchors_whose_positive_is_sure_count() -> None:
    anchors = side([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], [0.9, 0.1, 0.1], [0, 0, 0])
    positives = side([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], [0.74, 0.75, 0.8], [0, 0, 0])
    negatives, of_class = torch.tensor([[0.0, 1.0]]), torch.tensor([1])
    loss = guided_contrast(anchors, positives, (negatives, of_class), 1.0, 0.75)
    second = -math.log(math.e / (math.e + math.e))
    third = -math.log(1 / (1 + 1))
    assert loss.item() == pytest.approx((second + third) / 2)


def test_gradient_reaches_the_anchors_alone() -> None:
    anchors, positives = side([[1.0, 0.0]], [0.9], [0]), side([[0.6, 0.8]], [0.9], [0])
    negatives = torch.tensor([[0.8, 0.6]], requires_grad=True)
    guided_contrast(anchors, positives, (negatives.detach(), torch.tensor([1])), 0.1, 0.75).backward()
    assert bool(anchors.embeddings.grad.any()) and positives.embeddings.grad is None


def test_without_anchors_or_negatives_the_loss_is_zero_with_finite_gradients() -> None:
    anchors, unsure = side([[1.0, 0.0]], [0.9], [0]), side([[0.6, 0.8]], [0.1], [0])
    nothing = torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64)
    own = torch.tensor([[0.8, 0.6]]), torch.tensor([0])
    for positives, negatives in ((unsure, own), (side([[0.6, 0.8]], [0.9], [0]), nothing), (anchors, own)):
        loss = guided_contrast(anchors, positives, negatives, 0.1, 0.75)
        assert loss.item() == 0
        loss.backward()
        assert bool(anchors.embeddings.grad.isfinite().all())


def test_contrast_in_bfloat16_sums_in_float32() -> None:
    """One negative of cosine 0, 4000 times. In bfloat16 log 4000 = 8.2940 would be 8.3125."""
    anchor, positive = side([[1.0, 0.0]], [0.9], [0]), side([[0.0, 1.0]], [0.9], [0])
    negatives = torch.tensor([[0.0, 1.0]]).expand(4000, 2), torch.ones(4000, dtype=torch.int64)
    with torch.autocast("cpu", torch.bfloat16):
        loss = guided_contrast(anchor, positive, negatives, 0.1, 0.75)
    assert loss.item() == pytest.approx(math.log(4001), abs=1e-4)


@few
@given(seeds, st.integers(0, 60), st.integers(1, 40))
def test_a_balanced_choice_takes_from_every_class_what_it_can(seed: int, size: int, count: int) -> None:
    classes = np.random.default_rng(seed).integers(0, 4, size) ** 2 // 3  # 0 0 1 3: class 2 never occurs
    chosen = balanced(torch.from_numpy(classes), count, 4, np.random.default_rng(seed)).tolist()
    assert len(set(chosen)) == len(chosen) == min(count, size)
    for own in range(4):
        assert (classes[chosen] == own).sum() >= min(count // 4, (classes == own).sum())


def test_labels_come_first(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = Gpc(replace(AT_ONCE, labels_first=3), ingredients)
    assert method.losses(batch, 2).keys() == {"ce_l"}
    assert not method.banks[0].entered.any()
    assert method.losses(batch, 3).keys() == {"ce_l", "contrast"}


def test_labelled_cross_entropy_is_that_of_the_labelled_scans(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    method = Gpc(GpcConfig(), ingredients).eval()
    logits = method.network(batch.features, batch.pyramid)[:120]
    torch.testing.assert_close(method.losses(batch, 0)["ce_l"], cross_entropy(logits, batch.labels[:120]))


def test_batch_norm_keeps_scans_and_crops_apart_where_it_keeps_the_kinds_apart(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    method, seen = Gpc(AT_ONCE, ingredients), []
    method.network.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[1]))
    apart = build_pyramid(batch.pyramid.coords[0], 1, first_scans=2)
    for one in (batch, replace(batch, pyramid=apart)):
        method.losses(one, 0)
    assert [pyramid.first_rows[0] for pyramid in seen] == [None, 120]


def test_anchors_are_the_same_voxel_in_both_crops(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = Gpc(AT_ONCE, ingredients)
    crops = method._crops(batch, 0)
    places = method._anchors(torch.zeros(len(crops[0].rows), dtype=torch.int64), crops, batch, 0)
    voxels = crops[0].rows[places[0]]
    assert torch.equal(voxels, crops[1].rows[places[1]])
    assert len(voxels.unique()) == len(voxels) > 20
    per_scan = torch.bincount(batch.scan[voxels], minlength=4)
    shared = [
        len(set(crops[0].rows.tolist()) & set(crops[1].rows.tolist()) & set(range(60 * slot, 60 * slot + 60)))
        for slot in range(4)
    ]
    assert per_scan.tolist() == [0, 0, min(50, shared[2]), min(50, shared[3])]


@torch.no_grad()
def by_hand(anchors: Tensor, positives: Tensor, bank: Bank, classes: Tensor) -> float:
    """L_1 with the whole bank as negatives and every anchor sure."""
    total = 0.0
    for anchor, positive, own in zip(anchors, positives, classes.tolist()):
        others = [
            math.exp(float(anchor @ row) / 0.1)
            for index in range(5)
            if index != own
            for row in bank.rows[index, : int(bank.entered[index])]
        ]
        score = math.exp(float(anchor @ positive) / 0.1)
        total -= math.log(score / (score + sum(others)))
    return total / len(anchors)


def test_contrast_is_the_symmetric_sum_with_the_bank_of_the_other_crop(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    config = replace(AT_ONCE, negatives=10_000, bank=500, enqueued=500, anchors=500)
    method = Gpc(config, ingredients).eval()
    method.losses(batch, 0)
    crops = method._crops(batch, 1)
    features = [method.network.backbone(crop.features, batch.pyramid) for crop in crops]
    classes = [method.network.classifier(rows).argmax(1) for rows in features]
    embeddings = [torch.nn.functional.normalize(method.projector(rows), dim=1) for rows in features]
    at = method._anchors(classes[0], crops, batch, 1)
    first, second = (rows[place] for rows, place in zip(embeddings, at))
    expected = by_hand(first, second, method.banks[1], classes[0][at[0]]) + by_hand(
        second, first, method.banks[0], classes[1][at[1]]
    )
    assert method.losses(batch, 1)["contrast"].item() == pytest.approx(0.1 * expected, rel=1e-4)
    assert method.measures["anchors"] == len(first)


def test_what_a_step_embeds_is_in_the_banks_after_it(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = Gpc(replace(AT_ONCE, bank=200, enqueued=200), ingredients)
    assert method.losses(batch, 0)["contrast"].item() == 0  # there are no negatives yet
    sizes = [len(crop.rows) for crop in method._crops(batch, 0)]
    assert [int(bank.entered.sum()) for bank in method.banks] == sizes
    assert method.losses(batch, 1)["contrast"].item() > 0
    lengths = method.banks[0].rows[0, : int(method.banks[0].entered[0])].norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


def test_no_more_than_the_limit_of_a_class_enters(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = Gpc(replace(AT_ONCE, enqueued=7), ingredients)
    method.losses(batch, 0)
    assert int(method.banks[0].entered.max()) == 7


@pytest.mark.parametrize("crop", ["fan", "window"])
def test_projector_and_network_learn_from_the_contrast(
    batch: SemiBatch, ingredients: Ingredients, crop: str
) -> None:
    method = Gpc(replace(AT_ONCE, crop=crop), ingredients)
    method.losses(batch, 0)
    method.losses(batch, 1)["contrast"].backward()
    assert bool(method.projector.weight.grad.any())
    assert bool(method.network.backbone.linear.weight.grad.any())
    assert method.network.classifier[0].weight.grad is None


def test_points_below_the_gate_are_exploited_where_it_is_switched_on(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    pe = ExploitationConfig(weight=0.1)
    term = Gpc(replace(AT_ONCE, gate=1.0, pe=pe), ingredients).losses(batch, 0)["pe"]
    assert term.item() > 0
    assert Gpc(replace(AT_ONCE, gate=0.0, pe=pe), ingredients).losses(batch, 0)["pe"].item() == 0


def test_a_batch_without_unlabelled_scans_is_no_obstacle(
    batch: SemiBatch, ingredients: Ingredients, of_rows: Callable[[SemiBatch, Tensor], SemiBatch]
) -> None:
    terms = Gpc(AT_ONCE, ingredients).losses(of_rows(batch, batch.is_labelled), 0)
    assert terms["contrast"].item() == 0 and terms["ce_l"].item() > 0


def test_a_restart_with_full_banks_changes_nothing(batch: SemiBatch, ingredients: Ingredients) -> None:
    def train(method: Gpc, steps: range) -> None:
        optimiser = torch.optim.SGD([*method.network.parameters(), *method.projector.parameters()], lr=0.1)
        for step in steps:
            optimiser.zero_grad()
            sum(method.losses(batch, step).values()).backward()
            optimiser.step()
            method.after_step(step)

    through, resumed = Gpc(AT_ONCE, ingredients), Gpc(AT_ONCE, ingredients)
    train(through, range(4))
    resumed.load_state_dict(through.state_dict())
    for method in (through, resumed):
        train(method, range(4, 8))
    assert int(through.banks[0].entered.max()) > AT_ONCE.bank
    for key, value in through.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


@pytest.mark.parametrize(
    "setting",
    [
        {"alpha": 1.0},
        {"gate": 1.5},
        {"temperature": 0.0},
        {"fan_deg": (200.0, 100.0)},
        {"window": 0.0},
        {"enqueued": 20_000},
        {"anchors": 0},
        {"labels_first": -1},
        {"seed": -1},
    ],
)
def test_value_out_of_range_is_refused(setting: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        GpcConfig(**setting)
