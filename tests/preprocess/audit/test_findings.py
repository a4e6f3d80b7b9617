from __future__ import annotations

import numpy as np
import pytest

from lass3d_core.files.coverage import Agreement
from lass3d_core.labels import IGNORE
from lass3d_core.records import NONE, PairedScan, PointTextPairs
from preprocess.audit.findings import class_rows

NAMES = ("car", "road", "tree", "person")


def scan_of(labels: list[int] | None, entity: list[int], phrases: tuple[str, ...]) -> PairedScan:
    count = len(entity)
    image = np.where(np.arange(count) % 2 == 0, 0, NONE).astype(np.int16)[:, None]
    return PairedScan(
        "00/000000",
        np.zeros((count, 3), np.float32),
        np.zeros((count, 1), np.float32),
        None if labels is None else np.array(labels, np.uint8),
        PointTextPairs(image, np.array(entity, np.int16), ("00/000000/image_2",), phrases),
    )


def test_a_phrase_stands_for_the_class_of_most_of_its_points() -> None:
    agreement = Agreement(NAMES)
    # sedan: 3 car, 1 road. street: 2 road, over both scans. bush: 1 tree, 1 ignored.
    agreement.add(scan_of([0, 0, 1, 1, 0, 1], [0, 0, 0, 1, NONE, NONE], ("sedan", "street")))
    agreement.add(scan_of([0, 1, 2, IGNORE], [1, 0, 2, 2], ("street", "sedan", "bush")))
    car, road, tree = class_rows(agreement)
    assert agreement.share == pytest.approx((3 + 2 + 1) / 7)
    assert (car.name, car.points, car.with_entity, car.agrees) == ("car", 4, 3 / 4, 1.0)
    assert (road.name, road.points, road.with_entity) == ("road", 4, 3 / 4)
    assert road.agrees == pytest.approx(2 / 3)  # one point of three is called a sedan
    assert [(one.phrase, one.main_class) for one in road.phrases] == [("street", "road"), ("sedan", "car")]
    assert [one.purity for one in road.phrases] == [1.0, 3 / 4]
    assert [one.share for one in road.phrases] == pytest.approx([2 / 3, 1 / 3])
    assert (tree.points, tree.phrases[0].purity) == (1, 1.0)


def test_a_class_without_entities_has_a_row_without_phrases() -> None:
    agreement = Agreement(NAMES)
    agreement.add(scan_of([3, 3], [NONE, NONE], ()))
    (row,) = class_rows(agreement)
    assert (row.name, row.points, row.with_entity, row.agrees, row.phrases) == ("person", 2, 0.0, 0.0, ())
    assert agreement.share is None


def test_only_the_most_frequent_phrases_are_shown() -> None:
    agreement = Agreement(NAMES)
    agreement.add(scan_of([0, 0, 0, 0, 0, 0], [0, 1, 1, 2, 2, 2], ("a", "b", "c")))
    (row,) = class_rows(agreement, shown=2)
    assert [one.phrase for one in row.phrases] == ["c", "b"]
