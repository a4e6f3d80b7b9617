from __future__ import annotations

import numpy as np
import pytest
import torch

from lass3d_core.labels import IGNORE
from lass3d_core.model.calibration import CalibrationError, fit_temperature


def test_the_temperature_that_made_the_labels_is_found() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(60_000, 5, generator=generator)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.05)
    assert fit_temperature(logits, labels) == pytest.approx(1, rel=0.05)


def test_a_few_sure_errors_do_not_spoil_the_rest() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(20_000, 4, generator=generator)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    wrong, missed = torch.zeros(400, 4), torch.ones(400, dtype=torch.int64)
    wrong[:, 0] = 60.0  # two in a hundred points are of class 1, and class 0 for certain
    found = fit_temperature(torch.cat([logits, wrong]), torch.cat([labels, missed]))
    assert found == pytest.approx(1, rel=0.1)


def test_ignored_points_do_not_count() -> None:
    logits = torch.tensor([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    labels = torch.tensor([0, 0, 1])
    more = torch.cat([logits, torch.tensor([[0.0, 9.0]])]), torch.cat([labels, torch.tensor([IGNORE])])
    assert fit_temperature(*more) == fit_temperature(logits, labels)
    assert fit_temperature(logits, torch.full((3,), IGNORE)) == 1.0


def test_the_error_by_hand() -> None:
    error = CalibrationError()
    assert error.value is None
    labels = np.array([0, 0, 0, 0, IGNORE], np.uint8)
    prediction = np.array([0, 0, 0, 1, 1], np.uint8)
    error.add(np.array([0.9, 0.9, 0.9, 0.9, 0.9]), prediction, labels)  # 3 of 4 right at a confidence of 0.9
    assert error.value == pytest.approx(0.15)
    error.add(np.array([0.5, 0.5, 0.5, 0.5]), np.zeros(4, np.uint8), np.array([0, 0, 1, 1], np.uint8))
    assert error.value == pytest.approx((4 * 0.15 + 4 * 0.0) / 8)
