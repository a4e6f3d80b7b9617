from __future__ import annotations

import numpy as np
import pytest

from lass3d_core.files.coverage import Agreement, Coverage, MainClass, ScanCounts, Share
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
    assert agreement.judged == 4


def test_without_labelled_points_there_is_no_share_and_no_main_class() -> None:
    agreement = Agreement(("road", "car"))
    assert agreement.purity() is None and agreement.truth({}) is None
    agreement.add(_scan([255, 1], [0, -1], [0, 0], ("a car",)))
    assert agreement.purity() is None and agreement.main_classes() == {}
    assert agreement.truth({"a car": {1}}) is None


def test_truth_and_its_chance_by_hand() -> None:
    agreement = Agreement(("road", "car"))
    # "sedan": one road, two car. "street": one road, one car, and one point without a label.
    agreement.add(_scan([0, 1, 1, 0, 1, 255], [0, 0, 0, 1, 1, 1], [0] * 6, ("sedan", "street")))
    truth = agreement.truth({"sedan": {1}, "street": {0}})
    assert truth == Share(3 / 5, pytest.approx(3 / 5 * 3 / 5 + 2 / 5 * 2 / 5))
    both = agreement.truth({"sedan": {0, 1}})  # a word for both classes is always right, and so by chance
    assert both == Share(3 / 5, pytest.approx(3 / 5))
    assert agreement.truth({}) == Share(0, 0)


def test_purity_of_one_word_everywhere_is_exactly_chance() -> None:
    agreement = Agreement(("road", "car"))
    agreement.add(_scan([0, 0, 1, 0, 1], [0] * 5, [0] * 5, ("car",)))
    purity = agreement.purity()
    assert purity == Share(3 / 5, 3 / 5) and purity.gained == 0


def test_purity_by_chance_by_hand() -> None:
    agreement = Agreement(("road", "car"))
    # Two words on one point each: whichever class each gets, it is pure.
    agreement.add(_scan([0, 1], [0, 1], [0, 0], ("a", "b")))
    assert agreement.purity() == Share(1, 1)


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_phrases_reach_what_chance_is_said_to_reach(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, 20_000, p=(0.5, 0.3, 0.15, 0.05))
    words = np.where(rng.random(len(labels)) < 0.7, labels, rng.integers(0, 8, len(labels)))
    named = {str(word): {word} for word in range(4)}
    agreements = []
    for some in (words, rng.permutation(words)):
        agreement = Agreement(tuple("abcd"))
        agreement.add(_scan(labels.tolist(), some.tolist(), [0] * len(labels), tuple(map(str, range(8)))))
        agreements.append(agreement)
    for share in ("purity", "truth"):
        right, shuffled = (one.purity() if share == "purity" else one.truth(named) for one in agreements)
        assert right is not None and shuffled is not None
        assert shuffled.found == pytest.approx(right.by_chance, abs=0.01)
        assert right.by_chance == pytest.approx(shuffled.by_chance, abs=0.002)
        assert right.gained > 0.4 and abs(shuffled.gained) < 0.02


def test_chance_is_the_same_each_time() -> None:
    agreement = Agreement(("road", "car", "wall"))
    agreement.add(_scan([0, 1, 2] * 20, [0, 1, 0, 1] * 15, [0] * 60, ("a", "b")))
    assert agreement.purity() == agreement.purity()
