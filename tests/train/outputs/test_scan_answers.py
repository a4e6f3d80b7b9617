from __future__ import annotations

import numpy as np
import pytest
import torch

from train.outputs.scan_answers import differs_in_a_view, entropy_share, mean_features


def test_entropy_is_a_share_of_the_greatest() -> None:
    """Four classes: all alike is log 4 of log 4, two alike are log 2 of log 4, one alone is nothing."""
    probability = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    logits = probability.clamp(min=1e-12).log()
    assert entropy_share(logits).tolist() == pytest.approx([1, 0.5, 0], abs=1e-6)
    assert entropy_share(torch.zeros(2, 1)).tolist() == [0, 0]


def test_a_point_disagrees_if_any_view_gives_it_another_class() -> None:
    views = [np.array([0, 1, 2, 2]), np.array([0, 1, 2, 1]), np.array([1, 1, 2, 1])]
    assert differs_in_a_view(views).tolist() == [True, False, False, True]
    assert not differs_in_a_view(views[:1]).any()


def test_a_class_has_the_mean_features_of_its_points_not_of_its_voxels() -> None:
    """Class 0: a voxel of 3 points with (4, 0), one of 1 point with (0, 8). Class 1 is nowhere."""
    features = torch.tensor([[4.0, 0.0], [0.0, 8.0], [1.0, 1.0]])
    label, points = torch.tensor([0, 0, 2]), torch.tensor([3, 1, 5])
    means, counts = mean_features(features, label, points, 3)
    assert means.tolist() == [[3, 2], [0, 0], [1, 1]]
    assert counts.tolist() == [4, 0, 5]
