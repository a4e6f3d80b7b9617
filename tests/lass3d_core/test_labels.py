"""Raw ids and train ids lead to one another, and an unknown id never passes for a class."""

from __future__ import annotations

import numpy as np
import pytest

from lass3d_core.errors import DataError
from lass3d_core.labels import IGNORE, LabelSpace

SPACE = LabelSpace(("road", "car"), {0: IGNORE, 40: 0, 60: 0, 10: 1}, (40, 10), ((1, 1, 1), (2, 2, 2)))


@pytest.mark.parametrize("dtype", [np.uint32, np.uint16, np.int64, np.int32])
def test_raw_ids_become_train_ids(dtype: type) -> None:
    found = SPACE.train_ids(np.array([0, 10, 40, 60], dtype), "file")
    assert found.tolist() == [IGNORE, 1, 0, 0] and found.dtype == np.uint8


@pytest.mark.parametrize(
    "raw", [np.uint32([40, 41]), np.uint32([2**32 - 1]), np.int64([-1]), np.int64([-51])]
)
def test_unknown_ids_are_named_with_the_file(raw: np.ndarray) -> None:
    with pytest.raises(DataError, match=rf"a\.label: unknown class id {raw[-1]}; the file is damaged"):
        SPACE.train_ids(raw, "a.label")


def test_train_ids_become_the_submitted_raw_ids_and_ignore_becomes_0() -> None:
    assert SPACE.raw_ids(np.uint8([0, 1, IGNORE])).tolist() == [40, 10, 0]


def test_no_points_have_no_labels() -> None:
    assert SPACE.train_ids(np.zeros(0, np.uint32), "file").shape == (0,)


def test_a_label_space_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(DataError, match="needs as many raw ids and colours"):
        LabelSpace(("road",), {40: 0}, (40, 10), ((1, 1, 1),))
    with pytest.raises(DataError, match="raw id 10 of class 'road' does not map back"):
        LabelSpace(("road",), {40: 0}, (10,), ((1, 1, 1),))
