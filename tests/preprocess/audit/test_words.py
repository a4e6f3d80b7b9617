from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from lass3d_core.files.coverage import Agreement, Share
from lass3d_core.files.splits import LabelledSplit
from lass3d_core.labels import IGNORE
from lass3d_core.records import NONE, PairedScan, PointTextPairs
from lass3d_core.words.lexicon import Lexicon
from preprocess.audit.bins import Tables
from preprocess.audit.words import Part, WordFindings, class_rows, in_words, phrase_rows

NAMES = ("car", "road", "vegetation", "person")
NAMED = {"sedan": {0}, "street": {1}, "bush": {2}}
LABELLED = LabelledSplit("nested", 50, 0, ("a",), ())


def scan_of(labels: Sequence[int], entity: Sequence[int], phrases: tuple[str, ...]) -> PairedScan:
    count = len(entity)
    image = np.zeros((count, 1), np.int16)
    pairs = PointTextPairs(image, np.array(entity, np.int16), ("00/000000/image_2",), phrases)
    zeros = np.zeros((count, 3), np.float32)
    return PairedScan("00/000000", zeros, zeros[:, :1], np.array(labels, np.uint8), pairs)


def agreement_of(*scans: PairedScan) -> Agreement:
    agreement = Agreement(NAMES)
    for scan in scans:
        agreement.add(scan)
    return agreement


SMALL = (
    # sedan: 3 car, 1 road. street: 2 road, over both scans. bush: 1 vegetation, 1 ignored.
    scan_of([0, 0, 1, 1, 0, 1], [0, 0, 0, 1, NONE, NONE], ("sedan", "street")),
    scan_of([0, 1, 2, IGNORE], [1, 0, 2, 2], ("street", "sedan", "bush")),
)


def found_in(agreement: Agreement, remark: str = "") -> WordFindings:
    named = {phrase: Lexicon(NAMES, {}).classes_of(phrase) for phrase in agreement.of_phrase}
    return WordFindings(
        points=agreement.judged,
        by_name=agreement.truth(named),
        by_encoder=None,
        purity=agreement.purity(),
        encoder="hashing",
        remark=remark,
        classes=tuple(class_rows(agreement, named, {})),
        phrases=tuple(phrase_rows(agreement, named, {})),
        bins=Tables((), "not counted here", (), ()),
    )


def test_the_row_of_a_class_by_hand() -> None:
    car, road, vegetation = class_rows(agreement_of(*SMALL), NAMED, {"sedan": {1}})
    assert (car.name, car.points, car.with_phrase, car.named, car.nearest) == ("car", 4, 3 / 4, 1.0, 0.0)
    assert (road.points, road.with_phrase) == (4, 3 / 4)
    assert (road.named, road.nearest) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert road.phrases == (Part("street", 2, pytest.approx(2 / 3)), Part("sedan", 1, pytest.approx(1 / 3)))
    assert (vegetation.points, vegetation.named) == (1, 1.0)


def test_the_row_of_a_phrase_by_hand() -> None:
    sedan, street, bush = phrase_rows(agreement_of(*SMALL), NAMED, {"sedan": {1}})
    assert (sedan.phrase, sedan.points, sedan.names, sedan.nearest) == ("sedan", 4, ("car",), ("road",))
    assert sedan.classes == (Part("car", 3, 3 / 4), Part("road", 1, 1 / 4))
    assert (street.points, bush.points) == (2, 1)


def test_a_class_without_phrases_has_a_row() -> None:
    (row,) = class_rows(agreement_of(scan_of([3, 3], [NONE, NONE], ())), {}, {})
    assert (row.name, row.points, row.with_phrase, row.named, row.phrases) == ("person", 2, 0.0, 0.0, ())
    assert row.nearest is None


def test_only_the_most_frequent_phrases_of_a_class_are_shown() -> None:
    (row,) = class_rows(agreement_of(scan_of([0] * 6, [0, 1, 1, 2, 2, 2], ("a", "b", "c"))), {}, {}, shown=2)
    assert [one.name for one in row.phrases] == ["c", "b"]


def test_the_class_that_phrases_name_instead_by_hand() -> None:
    """Of 6 points of road: street names it on 1, sedan on 3, "bush or people" names two others on 2."""
    named = {**NAMED, "bush or people": {2, 3}}
    scan = scan_of([1] * 6, [0, 1, 1, 1, 2, 2], ("street", "sedan", "bush or people"))
    (road,) = class_rows(agreement_of(scan), named, {})
    assert road.instead == Part("car", 3, 3 / 6)
    both = {"sedan": {0, 1}, "bush or people": {2, 3}}
    (road,) = class_rows(agreement_of(scan), both, {})
    assert road.instead == Part("vegetation", 2, 2 / 6)  # a phrase that names this class too names no other
    (car,) = class_rows(agreement_of(scan_of([0], [0], ("sedan",))), NAMED, {})
    assert car.instead is None


def told_of(roads_called_car: int, others: int) -> list[str]:
    """The notes on 10 points of road, so many called sedan and the others street, beside right cars."""
    entity = [1] * roads_called_car + [0] * (10 - roads_called_car) + [1] * others
    scan = scan_of([1] * 10 + [0] * others, entity, ("street", "sedan"))
    agreement = agreement_of(scan)
    found = replace(found_in(agreement), classes=tuple(class_rows(agreement, NAMED, {})))
    return [line for line in in_words(found, LABELLED) if line.startswith("NOTE")]


def test_a_class_called_by_another_name_on_most_of_its_points_is_noted() -> None:
    (line,) = told_of(6, others=20)
    assert "most of these points: road (car 60%)." in line
    assert not told_of(5, others=20)


def test_a_class_with_hardly_any_points_is_not_noted() -> None:
    assert told_of(10, others=990)
    assert not told_of(10, others=991)


def street_of(seed: int, entity: np.ndarray | None, phrases: tuple[str, ...]) -> PairedScan:
    """A scan of 2000 points, half road, a fifth car and vegetation, some persons."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, 2000, p=(0.2, 0.5, 0.2, 0.1))
    return scan_of(labels.tolist(), (labels if entity is None else entity).tolist(), phrases)


def test_right_words_raise_no_warning() -> None:
    found = found_in(agreement_of(street_of(0, None, ("sedan", "asphalt", "trees", "people"))))
    assert found.by_name == Share(1.0, pytest.approx(0.34, abs=0.03)) and not found.warning


def test_the_same_words_shuffled_over_the_points_tell_nothing() -> None:
    entity = np.random.default_rng(9).choice(4, 2000, p=(0.2, 0.5, 0.2, 0.1))
    found = found_in(agreement_of(street_of(0, entity, ("sedan", "asphalt", "trees", "people"))))
    assert found.warning.startswith("the words tell nothing")


def test_one_word_per_image_drawn_at_random_tells_nothing() -> None:
    words = ("car", "road", "tree", "person", "sky")
    scans = [street_of(seed, np.full(2000, seed % 5), words) for seed in range(20)]
    assert found_in(agreement_of(*scans)).warning.startswith("the words tell nothing")


def test_pure_words_with_a_wrong_meaning_are_warned_of() -> None:
    found = found_in(agreement_of(street_of(0, None, ("asphalt", "trees", "people", "sedan"))))
    assert found.purity is not None and found.purity.found == 1.0
    assert found.by_name is not None and found.by_name.found == 0.0
    assert "name the classes hardly better than chance" in found.warning


def test_words_that_are_pure_by_their_place_and_mean_nothing_are_warned_of() -> None:
    rng = np.random.default_rng(3)
    labels = rng.choice(4, 4000, p=(0.2, 0.5, 0.2, 0.1))
    words = np.where(labels == 1, rng.choice((1, 2, 3), 4000), rng.choice((0, 2, 3), 4000))
    phrases = ("sky", "heaven", "clouds", "sedan")
    found = found_in(agreement_of(scan_of(labels.tolist(), words.tolist(), phrases)))
    assert found.purity is not None and found.purity.gained > 0.1
    assert "hardly better than chance" in found.warning


def test_the_lines_have_each_share_beside_its_chance_and_say_why_one_is_left_out() -> None:
    found = found_in(agreement_of(*SMALL), remark="the encoder's weights are not here")
    lines = list(in_words(found, LABELLED))
    assert "7 labelled points with a phrase in 1 labelled scan (50 %, nested, seed 0)" in lines[0]
    (by_name,) = (line for line in lines if "by name and synonyms" in line)
    assert by_name.split()[-2:] == ["85.7%", "38.8%"]  # 6 of 7; (4*3 + 2*3 + 1*1) / 49
    assert any("not judged: the encoder's weights are not here" in line for line in lines)
    assert any(line.startswith("sedan") and "car 75% (3), road 25% (1)" in line for line in lines)


def test_without_a_phrase_on_a_labelled_point_the_words_cannot_be_judged() -> None:
    found = found_in(agreement_of(scan_of([IGNORE, 1], [0, NONE], ("sedan",))))
    lines = list(in_words(found, LABELLED))
    assert (
        lines[-1] == "  no labelled point has a phrase, so the words cannot be judged" and not found.warning
    )
