from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from lass3d_core.errors import DataError
from lass3d_core.model.card import PointFeature
from lass3d_core.model.inputs import checked_features, checked_points, warn_if_far
from tests.lass3d_core.model.conftest import CARD

GOOD = np.linspace(0, 1, 50, dtype=np.float32)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (np.zeros((0, 3)), "the cloud has no points"),
        (np.zeros((5, 4)), r"must have shape \(N, 3\), got \(5, 4\)"),
        (np.zeros(3), r"must have shape \(N, 3\)"),
        (np.array([["a", "b", "c"]]), "must be numbers"),
        (np.array([[0, 0, 0], [np.nan, 0, 0]]), "1 of 2 rows hold NaN or infinity, the first is row 1"),
        (np.array([[np.inf, 0, 0]]), "1 of 1 rows hold NaN or infinity"),
    ],
)
def test_wrong_points_are_one_line(points: np.ndarray, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        checked_points(points)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (None, r"the model needs remission \(0 to 1\)"),
        (np.zeros((50, 2)), r"features has 2 columns; the model needs remission \(0 to 1\)"),
        (np.zeros((49, 1)), r"must have shape \(50, 1\), got \(49, 1\)"),
        (np.full((50, 1), np.nan), "features: 50 of 50 rows hold NaN"),
        (GOOD * 255, "remission reaches from 0 to 255, .* another scale; divide it by 255"),
        (GOOD * 65535, "divide it by 65535"),
        (GOOD * 1000 - 900, "another scale"),
        (np.full((50, 1), "x"), "must be numbers"),
    ],
)
def test_wrong_features_are_one_line(features: np.ndarray | None, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        checked_features(features, CARD, 50)


def test_values_somewhat_beyond_are_warned_about_by_name() -> None:
    with pytest.warns(UserWarning, match="the feature remission reaches from 0 to 1.7"):
        checked_features(np.append(GOOD, 1.7), CARD, 51)


def test_values_in_range_pass_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert checked_features(GOOD, CARD, 50).shape == (50, 1)
        warn_if_far(np.full((10, 3), 5.0), CARD)


def test_features_are_rounded_as_a_shard_rounds_them() -> None:
    given = np.array([0.1, 0.2999, 1.0], np.float32)
    assert checked_features(given, CARD, 3)[:, 0].tolist() == given.astype(np.float16).tolist()
    assert given[1] not in given.astype(np.float16)


def test_a_value_beyond_float16_stays_finite() -> None:
    with pytest.warns(UserWarning, match="the feature remission reaches from 0 to 1e"):
        found = checked_features(np.append(np.tile(GOOD, 10), 1e6), CARD, 501)
    assert found.max() == 65504


def test_a_model_without_features_refuses_them_and_needs_none() -> None:
    card = replace(CARD, features=())
    assert checked_features(None, card, 7).shape == (7, 0)
    with pytest.raises(DataError, match="needs no features"):
        checked_features(np.zeros((7, 1)), card, 7)


def test_a_model_of_0_to_255_takes_0_to_255() -> None:
    card = replace(CARD, features=(PointFeature("intensity", 0.0, 255.0),))
    assert checked_features(GOOD * 255, card, 50).max() == 255


def test_millimetres_are_warned_about() -> None:
    with pytest.warns(UserWarning, match="are they in metres"):
        warn_if_far(np.full((10, 3), 5000.0), CARD)
