"""Raw ids and train ids lead to one another, and an unknown id never passes for a class."""

from __future__ import annotations

import numpy as np
import pytest

from lass3d_core.errors import DataError
from lass3d_core.labels import IGNORE, LabelSpace, chosen_colours, own_label_space
from lass3d_core.manifest.classes import ClassesSpec

SPACE = LabelSpace(("road", "car"), {0: IGNORE, 40: 0, 60: 0, 10: 1}, (40, 10), ((1, 1, 1), (2, 2, 2)))


@pytest.mark.parametrize("dtype", [np.uint32, np.uint16, np.int64, np.int32])
def test_raw_ids_become_train_ids(dtype: type) -> None:
    found = SPACE.train_ids(np.array([0, 10, 40, 60], dtype), "file")
    assert found.tolist() == [IGNORE, 1, 0, 0] and found.dtype == np.uint8


@pytest.mark.parametrize(
    "raw", [np.uint32([40, 41]), np.uint32([2**32 - 1]), np.int64([-1]), np.int64([-51])]
)
def test_unknown_ids_are_named_with_the_file(raw: np.ndarray) -> None:
    with pytest.raises(DataError, match=rf"a\.label: unknown class id {raw[-1]} .1 point"):
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


def test_own_classes_replace_the_official_ones() -> None:
    spec = ClassesSpec(
        ids={"vehicle": (10, 11), "ground": (40,)}, ignore=(0, -1), colours={"ground": (9, 9, 9)}
    )
    space = own_label_space(spec, SPACE)
    assert space.names == ("vehicle", "ground") and space.raw_of_train_id == (10, 40)
    assert space.train_ids(np.array([0, -1, 10, 11, 40]), "f").tolist() == [IGNORE, IGNORE, 0, 0, 1]
    assert space.colours[1] == (9, 9, 9) and space.colours[0] != space.colours[1]


def test_without_ids_the_official_classes_stay_and_the_further_wishes_count() -> None:
    assert own_label_space(ClassesSpec(), SPACE) == SPACE
    space = own_label_space(ClassesSpec(ignore=(60,), unknown="ignore"), SPACE)
    assert space.names == SPACE.names
    assert space.train_ids(np.array([60, 40, 77]), "f").tolist() == [IGNORE, 0, IGNORE]


@pytest.mark.parametrize("key", ["colours", "synonyms"])
def test_a_wish_for_no_class_is_refused_with_the_nearest(key: str) -> None:
    wish = {"raod": (1, 2, 3) if key == "colours" else ("street",)}
    with pytest.raises(DataError, match=f"classes.{key}: there is no class 'raod'.*did you mean 'road'"):
        own_label_space(ClassesSpec(**{key: wish}), SPACE)


@pytest.mark.parametrize("count", [1, 6, 40, 254])
def test_chosen_colours_differ_and_do_not_change_when_classes_are_added(count: int) -> None:
    colours = chosen_colours(count)
    assert len(set(colours)) == count and chosen_colours(count + 3)[:count] == colours


@pytest.mark.parametrize("raw", [2**40, 70_000, -(2**40)])
def test_raw_ids_may_be_of_any_size(raw: int) -> None:
    space = LabelSpace(("a",), {raw: IGNORE, 1: 0}, (1,), ((1, 1, 1),))
    assert space.train_ids(np.array([raw, 1]), "f").tolist() == [IGNORE, 0]
