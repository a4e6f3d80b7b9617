from __future__ import annotations

import numpy as np

from lass3d_core.files.coverage import Agreement, Coverage, MainClass, ScanCounts
from lass3d_core.records import PairedScan, PointTextPairs


def _scan(
    labels: list[int] | None, entity: list[int], image: list[int], phrases: tuple[str, ...]
) -> PairedScan:
    count = len(entity)
    pairs = PointTextPairs(np.array(image, np.int16)[:, None], np.array(entity, np.int16), ("i",), phrases)
    truth = None if labels is None else np.array(labels, np.uint8)
    return PairedScan("0", np.zeros((count, 3), np.float32), np.zeros((count, 1), np.float32), truth, pairs)


def test_coverage_counts_points_with_an_image_and_with_an_entity() -> None:
    coverage = Coverage()
    coverage.add(_scan([1, 255, 255, 0, 0], [0, 0, 1, -1, -1], [0, -1, 0, -1, 0], ("street", "sedan")))
    coverage.add(_scan(None, [0, -1], [0, -1], ("sedan", "bush")))
    assert (coverage.scans, coverage.points, coverage.with_image, coverage.with_entity) == (2, 7, 4, 4)
    assert coverage.phrases == {"street": 2, "sedan": 2}
    assert (coverage.labelled_scans, coverage.labelled_points, coverage.scans_with_image) == (1, 3, 2)
    in_words = "2 scans, 1 with labels, 2 with images; 57.1 % of points in an image, 57.1 % with a phrase"
    assert str(coverage) == in_words


def test_counts_of_a_scan_tell_a_label_file_from_labels_and_an_image_from_points_in_it() -> None:
    ignored = _scan([255, 255], [-1, -1], [-1, -1], ())
    assert ScanCounts.of(ignored) == ScanCounts(
        points=2,
        has_labels=1,
        labelled_points=0,
        images=1,
        points_in_image=0,
        points_with_phrase=0,
        points_at_origin=2,
    )


def test_stored_counts_stand_for_the_labels_of_a_scan_that_is_read_without() -> None:
    known = _scan([1, 255], [0, -1], [0, -1], ("sedan",))
    unread = _scan(None, [0, -1], [0, -1], ("sedan",))
    coverage = Coverage()
    coverage.add(unread, ScanCounts.of(known))
    assert (coverage.labelled_scans, coverage.labelled_points) == (1, 1)
    assert coverage.phrases == {"sedan": 1}


def test_agreement_by_hand() -> None:
    agreement = Agreement(("road", "car", "wall"))
    agreement.add(_scan([0, 0, 1, 255, 2, 2], [0, 0, 0, 0, 1, -1], [0] * 6, ("a car", "a wall")))
    assert (agreement.scans, agreement.points.tolist()) == (1, [2, 1, 2])
    assert agreement.of_phrase["a car"].tolist() == [2, 1, 0]
    assert agreement.main_classes() == {"a car": MainClass("road", 2 / 3), "a wall": MainClass("wall", 1.0)}
    assert agreement.share == 3 / 4


def test_without_labelled_points_there_is_neither_a_share_nor_a_main_class() -> None:
    agreement = Agreement(("road", "car"))
    assert agreement.share is None
    agreement.add(_scan([255, 1], [0, -1], [0, 0], ("a car",)))
    assert agreement.share is None and agreement.main_classes() == {}
