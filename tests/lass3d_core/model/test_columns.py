from __future__ import annotations

import numpy as np
import pytest

from lass3d_core.clouds import CloudFile
from lass3d_core.errors import DataError
from lass3d_core.model.card import PointFeature
from lass3d_core.model.columns import features_of

REMISSION = (PointFeature("remission", 0.0, 1.0),)
RGB = tuple(PointFeature(name, 0.0, 1.0) for name in ("r", "g", "b"))


def cloud(**columns: np.ndarray) -> CloudFile:
    return CloudFile(np.zeros((2, 3)), columns)


def test_a_column_is_found_by_any_of_its_names() -> None:
    for name in ("remission", "Intensity", "reflectance"):
        found = features_of(cloud(**{name: np.array([0.1, 0.9])}), REMISSION, {}, "f")
        assert found.features.tolist() == [[np.float32(0.1)], [np.float32(0.9)]] and found.notes == ()


def test_integer_columns_are_scaled_by_their_type_and_it_is_said() -> None:
    eight = {name: np.array([0, 255], np.uint8) for name in ("red", "green", "blue")}
    assert features_of(cloud(**eight), RGB, {}, "f").features.tolist() == [[0, 0, 0], [1, 1, 1]]
    sixteen = features_of(cloud(intensity=np.array([0, 65535], np.uint16)), REMISSION, {}, "f")
    assert sixteen.features.tolist() == [[0], [1]] and sixteen.notes == ("intensity was divided by 65535",)


def test_a_scale_that_is_given_wins() -> None:
    column = np.array([0.0, 100.0])
    assert features_of(cloud(intensity=column), REMISSION, {"remission": 100}, "f").features[1] == 1


def test_a_model_of_0_to_255_takes_integers_as_they_are() -> None:
    wanted = (PointFeature("intensity", 0.0, 255.0),)
    assert features_of(cloud(intensity=np.array([0, 255], np.uint8)), wanted, {}, "f").features[1] == 255


def test_missing_columns_and_unknown_scales_are_one_line() -> None:
    with pytest.raises(DataError, match=r"f has no column remission, which the model needs \(it has time\)"):
        features_of(cloud(time=np.zeros(2)), REMISSION, {}, "f")
    with pytest.raises(DataError, match="names 'ring'; the model's features are: remission"):
        features_of(cloud(remission=np.zeros(2)), REMISSION, {"ring": 2.0}, "f")
