from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from train.methods.parts.confidences import Confidences


def logits_of(*confidences: float) -> Tensor:
    """Points of two classes that are class 0 with these probabilities."""
    return torch.tensor([[math.log(p / (1 - p)), 0.0] for p in confidences])


def thresholds_of(logits: Tensor, portion: float) -> list[float]:
    confidences = Confidences(logits.shape[1])
    confidences.count(logits)
    return confidences.log_thresholds(portion).exp().tolist()


def test_threshold_is_the_confidence_at_the_rank_of_its_class() -> None:
    """Class 0 was predicted .9 .8 .7 .6 .55: rank floor(.4 * 5) = 2. Class 1 .95 .65: floor(.4 * 2) = 0."""
    logits = logits_of(0.7, 0.9, 0.05, 0.6, 0.8, 0.35, 0.55)
    zero, one = thresholds_of(logits, 0.4)
    assert zero == pytest.approx(0.8, abs=0.004) and zero <= 0.8
    assert one == 1.0


def test_class_that_nothing_was_predicted_as_has_threshold_one() -> None:
    assert thresholds_of(logits_of(0.9, 0.8), 1.0)[1] == 1.0
    assert Confidences(3).log_thresholds(0.5).tolist() == [0, 0, 0]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.05, 1.0))
def test_threshold_is_that_of_a_sorted_list_within_a_bin(seed: int, portion: float) -> None:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(80, 3)) * 4)
    confidence, predicted = logits.softmax(1).max(1)
    for index, found in enumerate(thresholds_of(logits, portion)):
        of_class = confidence[predicted == index].sort(descending=True).values.tolist()
        rank = math.floor(portion * len(of_class))
        exact = of_class[rank - 1] if rank else 1.0
        assert found <= exact + 1e-6
        assert found >= exact - Confidences.width * exact * (1 - exact) * 1.05 - 1e-6


def test_each_zone_has_thresholds_of_its_own() -> None:
    """Zone 0 predicts class 0 with .9 .8, zone 1 with .7 .6; rank 1 of each; class 1 never occurs."""
    confidences = Confidences(2, zones=2)
    confidences.count(logits_of(0.9, 0.7, 0.8, 0.6), torch.tensor([0, 1, 0, 1]))
    assert confidences.log_thresholds(0.5).exp().tolist() == pytest.approx([0.9, 1.0, 0.7, 1.0], abs=0.004)
