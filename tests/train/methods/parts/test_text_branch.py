from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lass3d_core.labels import IGNORE
from lass3d_core.paper.losses import cross_entropy, feature_kl
from lass3d_core.paper.safm import TextBatch
from train.methods.parts.text_branch import TextBranch, TextBranchConfig, without_dropped

CHANNELS, CLASSES, TEXT_DIM, COUNT = 6, 3, 16, 20
UNLABELLED = torch.arange(COUNT) >= 8


@pytest.fixture
def texts() -> TextBatch:
    torch.manual_seed(0)
    rows = torch.randn(5, TEXT_DIM)
    return TextBatch(rows, torch.tensor([0, 2, 5]), rows[:2], torch.randn(4, TEXT_DIM))


def branch(config: TextBranchConfig) -> TextBranch:
    """One in which text already matters: no last layer is zero any more."""
    torch.manual_seed(1)
    made = TextBranch(config, CHANNELS, CLASSES, TEXT_DIM)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def inputs(texts: TextBatch) -> tuple[Tensor, tuple[object, ...]]:
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(COUNT, CHANNELS, generator=generator).requires_grad_()
    image, entity = torch.arange(COUNT) % 3 - 1, torch.arange(COUNT) % 5 - 1
    targets = torch.where(torch.arange(COUNT) % 4 == 0, IGNORE, torch.arange(COUNT) % CLASSES)
    return features, (image, entity, texts, targets, UNLABELLED, None)


def test_terms_are_cross_entropy_and_kl_of_the_text_enhanced_features(texts: TextBatch) -> None:
    made = branch(TextBranchConfig(weight=2.0, lambda_kl=0.5))
    features, rest = inputs(texts)
    terms = made.losses(features, *rest)
    f_text = made.safm(features, *rest[:3])
    torch.testing.assert_close(terms["ce_text"], 2 * cross_entropy(made.classifier(f_text), rest[3]))
    expected = feature_kl(f_text[UNLABELLED], made.adapter(features)[UNLABELLED])
    torch.testing.assert_close(terms["kl_text"], 0.5 * expected)


@pytest.mark.parametrize("let_in", [False, True])
def test_distillation_reaches_the_features_only_where_it_is_let_in(texts: TextBatch, let_in: bool) -> None:
    made = branch(TextBranchConfig(weight=1.0, into_segmenter=let_in))
    features, rest = inputs(texts)
    made.losses(features, *rest)["kl_text"].backward()
    assert (features.grad is not None and bool(features.grad[UNLABELLED].any())) == let_in
    assert all(parameter.grad is not None for parameter in made.adapter.parameters())
    assert all(parameter.grad is None for parameter in made.safm.parameters()), "the target is detached"


def test_cross_entropy_with_text_teaches_the_features(texts: TextBatch) -> None:
    features, rest = inputs(texts)
    branch(TextBranchConfig(weight=1.0)).losses(features, *rest)["ce_text"].backward()
    taught = features.grad.abs().sum(dim=1) > 0
    assert torch.equal(taught, rest[3] != IGNORE)


@pytest.mark.parametrize("name", ["weight", "lambda_kl"])
def test_negative_weight_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        TextBranchConfig(**{name: -1.0})


def test_texts_are_dropped_scan_by_scan_and_image_and_entity_together() -> None:
    scan = torch.arange(200) // 2
    image, entity = torch.arange(200), torch.arange(200) + 1
    kept = [without_dropped(text, scan, 0.5, step=3) >= 0 for text in (image, entity)]
    assert torch.equal(*kept)
    assert torch.equal(kept[0][::2], kept[0][1::2]), "half a scan is never dropped"
    assert 30 <= int(kept[0][::2].sum()) <= 70
    assert torch.equal(without_dropped(image, scan, 0.5, step=3)[kept[0]], image[kept[0]])
    assert not torch.equal(without_dropped(image, scan, 0.5, step=4) >= 0, kept[0])


def test_all_or_no_texts_are_dropped_at_the_ends() -> None:
    image, scan = torch.tensor([4, -1, 2]), torch.tensor([0, 0, 5])
    assert without_dropped(image, scan, 0.0, step=0).tolist() == [4, -1, 2]
    assert without_dropped(image, scan, 1.0, step=0).tolist() == [-1, -1, -1]


def test_the_draw_of_a_scan_hangs_on_no_other_scan() -> None:
    """So that a process which has some of the scans drops those that one with all of them would."""
    scan = torch.arange(40)
    together = without_dropped(scan, scan, 0.5, step=7)
    assert torch.equal(together[10:20], without_dropped(scan[10:20], scan[10:20], 0.5, step=7))


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_dropout_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="dropout"):
        TextBranchConfig(dropout=share)
