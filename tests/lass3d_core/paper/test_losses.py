from __future__ import annotations

import math

import pytest
import torch

from lass3d_core.paper.losses import consistency, cross_entropy, feature_kl, lovasz_softmax


def test_cross_entropy_is_the_mean_over_counted_points() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0], [5.0, 9.0]])
    loss = cross_entropy(logits, torch.tensor([0, 1, 255]))
    torch.testing.assert_close(loss, torch.tensor((-math.log(3 / 4) - math.log(1 / 2)) / 2))


def test_class_weights_weigh_the_mean() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    loss = cross_entropy(logits, torch.tensor([0, 1]), torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(loss, torch.tensor((-math.log(3 / 4) - 3 * math.log(1 / 2)) / 4))


def test_equal_class_weights_of_any_size_change_nothing() -> None:
    logits, labels = torch.randn(9, 4), torch.arange(9) % 4
    plain = cross_entropy(logits, labels)
    torch.testing.assert_close(cross_entropy(logits, labels, torch.full((4,), 0.01)), plain)


@pytest.mark.parametrize("loss", [cross_entropy, lovasz_softmax])
@pytest.mark.parametrize("points", [0, 3])
def test_nothing_counted_gives_exactly_zero_with_a_graph(loss: object, points: int) -> None:
    logits = torch.randn(points, 4, requires_grad=True)
    value = loss(logits, torch.full((points,), 255))  # type: ignore[operator]
    value.backward()
    assert value.item() == 0 and not logits.grad.any()


def test_divergence_of_no_points_is_zero_with_a_graph() -> None:
    f_ada = torch.randn(0, 4, requires_grad=True)
    value = feature_kl(torch.randn(0, 4), f_ada)
    value.backward()
    assert value.item() == 0


def test_divergence_over_some_points_is_that_of_these_points_alone() -> None:
    target, f_ada = torch.randn(2, 6, 4)
    counted = torch.tensor([True, False, True, True, False, False])
    torch.testing.assert_close(
        feature_kl(target, f_ada, counted), feature_kl(target[counted], f_ada[counted])
    )
    assert feature_kl(target, f_ada, torch.zeros(6, dtype=torch.bool)).item() == 0


def test_class_weights_count_no_ignored_point() -> None:
    """255 is beyond the last class, which has a weight of its own."""
    logits, labels = torch.randn(5, 3), torch.tensor([0, 255, 2, 255, 1])
    weights, kept = torch.tensor([1.0, 2.0, 50.0]), torch.tensor([0, 2, 4])
    torch.testing.assert_close(
        cross_entropy(logits, labels, weights), cross_entropy(logits[kept], labels[kept], weights)
    )


def test_lovasz_of_a_batch_with_ignored_points_is_that_of_the_others() -> None:
    logits, labels = torch.randn(40, 5, requires_grad=True), torch.randint(0, 3, (40,))
    labels[::3] = 255
    kept = labels != 255
    value, expected = lovasz_softmax(logits, labels), lovasz_softmax(logits[kept], labels[kept])
    torch.testing.assert_close(value, expected)
    (gradient,) = torch.autograd.grad(value, logits)
    assert not gradient[~kept].any() and gradient[kept].any()


def test_divergence_is_zero_only_where_the_features_agree() -> None:
    features = torch.randn(5, 8)
    assert feature_kl(features, features).item() == pytest.approx(0, abs=1e-6)
    assert feature_kl(features, features.flip(1)).item() > 0.01


def test_divergence_is_not_symmetric_and_its_first_argument_is_the_target() -> None:
    # p = (1/2, 1/2), q = (1/4, 3/4): KL(p||q) = log 2 - log(3)/2, KL(q||p) = log 2 + 3/4 log 3 - log 4
    p, q = torch.zeros(1, 2), torch.tensor([[0.0, math.log(3.0)]])
    torch.testing.assert_close(feature_kl(p, q), torch.tensor(math.log(2) - math.log(3) / 2))
    torch.testing.assert_close(feature_kl(q, p), torch.tensor(math.log(2) + 0.75 * math.log(3) - math.log(4)))


def test_consistency_is_the_mean_square_over_points_and_classes() -> None:
    # probabilities (3/4, 1/4) and (1/2, 1/2): squares 1/16, 1/16
    student = torch.tensor([[math.log(3.0), 0.0]], requires_grad=True)
    teacher = torch.zeros(1, 2, requires_grad=True)
    loss = consistency(student, teacher)
    loss.backward()
    torch.testing.assert_close(loss.detach(), torch.tensor(1 / 16))
    assert teacher.grad is None and student.grad.any()


def test_lovasz_of_hard_predictions_is_one_minus_iou() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 255])
    predicted = torch.tensor([0, 0, 1, 1, 1, 0])
    logits = torch.nn.functional.one_hot(predicted, 3) * 1000.0
    # class 0: 2 of 3 points, IoU 2/3; class 1: 2 of 3, IoU 2/3; class 2 does not occur
    torch.testing.assert_close(lovasz_softmax(logits, labels), torch.tensor(1 / 3))


def test_lovasz_gradient_raises_the_true_class() -> None:
    logits = torch.zeros(4, 2, requires_grad=True)
    lovasz_softmax(logits, torch.tensor([0, 0, 1, 1])).backward()
    assert bool((logits.grad[[0, 1, 2, 3], [0, 0, 1, 1]] < 0).all())
