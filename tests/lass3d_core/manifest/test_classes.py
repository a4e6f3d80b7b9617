"""The manifest's `classes`: every contradiction is refused."""

from __future__ import annotations

from typing import Any

import pytest

from lass3d_core.manifest.classes import ClassesSpec
from lass3d_core.settings import WrongSettings, read


def test_one_id_or_several_may_stand_for_a_class() -> None:
    spec = read(ClassesSpec, {"ids": {"car": 10, "road": [40, 44]}, "ignore": [0]})
    assert dict(spec.ids) == {"car": (10,), "road": (40, 44)} and spec.ignore == (0,)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"ids": {"a": 1, "b": [2, 1]}}, "the raw id 1 stands more than once"),
        ({"ids": {"a": 1}, "ignore": [1]}, "the raw id 1 stands more than once"),
        ({"ids": {"a": []}}, "the class 'a' has no raw id"),
        ({"ids": {"a": -1}}, "ids.a"),
        ({"ids": {"a": "car"}}, "ids.a"),
        ({"ids": {"a": 1.5}}, "ids.a"),
        ({"ids": {" ": 1}}, "is no name of a class"),
        ({"ids": {"a\nb": 1}}, "is no name of a class"),
        ({"ids": {"x" * 61: 1}}, "is no name of a class"),
        ({"ids": {f"c{i}": i for i in range(255)}}, "255 classes are more than 254"),
        ({"ids": {"a": 1}, "colours": {"a": [1, 2]}}, "the colour of 'a' must be"),
        ({"ids": {"a": 1}, "colours": {"a": [1, 2, 256]}}, "colours.a"),
        ({"unknown": "skip"}, "unknown"),
        ({"id": {"a": 1}}, "did you mean 'ids'"),
    ],
)
def test_a_contradiction_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(WrongSettings, match=words):
        read(ClassesSpec, values)
