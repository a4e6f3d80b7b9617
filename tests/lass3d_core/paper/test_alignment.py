from __future__ import annotations

import math

import torch

from lass3d_core.paper.alignment import SemanticConsistency
from lass3d_core.paper.safm import TextBatch


def identity_module() -> SemanticConsistency:
    module = SemanticConsistency(2, 2)
    module.project.weight.data = torch.eye(2)
    module.project.bias.data.zero_()
    return module


def texts(images: int = 1) -> TextBatch:
    """Two phrases along the axes, of lengths 2 and 3, and images that all say the same."""
    pooled = torch.ones(images, 2)
    return TextBatch(pooled, tuple(range(images + 1)), pooled, torch.tensor([[2.0, 0.0], [0.0, 3.0]]))


def test_hand_worked_entity_term() -> None:
    # The feature (1, 0) scores 1 and 0 against the unit-length phrases: cross-entropy log(e + 1) - 1.
    # The single image is certain: log 1 = 0.
    loss = identity_module()(torch.tensor([[1.0, 0.0]]), torch.tensor([0]), torch.tensor([0]), texts())
    torch.testing.assert_close(loss, torch.tensor(math.log(math.e + 1) - 1))


def test_image_term_is_added() -> None:
    # Captions along the axes, no phrase: log(e + 1) - 1 for the first voxel, log(e + 1) for the other.
    pooled = torch.eye(2)
    two = TextBatch(pooled, (0, 1, 2), pooled, torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    loss = identity_module()(features, torch.tensor([0, 1]), torch.full((2,), -1), two)
    torch.testing.assert_close(loss, torch.tensor(math.log(math.e + 1) - 0.5))


def test_equal_captions_are_one() -> None:
    found = torch.tensor([0, 1, 1])
    loss = identity_module()(torch.randn(3, 2), found, torch.full((3,), -1), texts(images=2))
    torch.testing.assert_close(loss, torch.tensor(0.0))


def test_pulls_a_feature_to_its_phrase() -> None:
    feature = torch.zeros(1, 2, requires_grad=True)
    identity_module()(feature, torch.tensor([-1]), torch.tensor([1]), texts()).backward()
    assert (
        float(-feature.grad[0] @ torch.tensor([0.0, 1.0]))
        > 0
        > float(-feature.grad[0] @ torch.tensor([1.0, 0.0]))
    )


def test_zero_with_a_graph_without_pairs() -> None:
    feature = torch.randn(3, 2, requires_grad=True)
    none = torch.full((3,), -1)
    loss = identity_module()(feature, none, none, texts())
    loss.backward()
    assert loss.item() == 0 and not feature.grad.any()
