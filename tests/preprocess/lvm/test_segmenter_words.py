"""Which classes of a network a phrase names, and the words of the label sets."""

from __future__ import annotations

import pytest

from preprocess.lvm.segmenter_labels import LABEL_SETS, LabelSet
from preprocess.lvm.segmenter_words import ClassWords
from preprocess.stages.phrases import normalise

STREET = ClassWords(LABEL_SETS["cityscapes"])


def named(phrase: str) -> set[str | None]:
    """The names of the classes of Cityscapes that the phrase names."""
    return {STREET.names[index] for index in STREET.phrase_of_each([phrase])}


@pytest.mark.parametrize(
    ("phrase", "name"),
    [
        ("car", "car"),
        ("parked sedan", "car"),
        ("two parked cars", "car"),
        ("car on the road", "car"),
        ("row of trees", "vegetation"),
        ("man with a bicycle", "person"),
        ("people", "person"),
        ("street light", "pole"),
        ("red traffic lights", "traffic light"),
        ("bushes", "vegetation"),
        ("fallen leaves", "vegetation"),
        ("buses", "bus"),
        ("lorry of the fire brigade", "truck"),
        ("motorbikes", "motorcycle"),
        ("city street", "road"),
        ("grass", "terrain"),
        ("tree trunk", "vegetation"),
        ("sky", "sky"),
    ],
)
def test_a_phrase_names_a_class_by_its_last_words(phrase: str, name: str) -> None:
    assert named(phrase) == {name}


@pytest.mark.parametrize("phrase", ["spaceship", "carpet", "car park", "", "of", "road map", "building site"])
def test_a_phrase_of_other_things_names_no_class(phrase: str) -> None:
    assert named(phrase) == set()


def test_a_wide_word_names_every_class_that_has_it_and_so_does_a_list() -> None:
    assert named("vehicles") == {"car", "truck", "bus", "train"}
    assert named("houses and a hedge") == {"building", "vegetation"}
    assert named("cars, bicycles & walls") == {"car", "bicycle", "wall"}


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (["vehicle", "car"], "car"),
        (["vehicle", "parked sedan"], "parked sedan"),
        (["red car", "car", "blue car"], "red car"),
        (["taxi", "hatchback"], "hatchback"),
    ],
)
def test_of_several_phrases_the_one_with_the_nearest_word_is_given(asked: list[str], answer: str) -> None:
    assert STREET.phrase_of_each(asked)[13] == answer


def test_a_class_without_words_is_never_named() -> None:
    words = ClassWords([[], ["Car", "the sedan"], []])
    assert words.names == (None, "car", None) and len(words) == 3
    assert words.phrase_of_each(["sedan", "car"]) == {1: "car"}


@pytest.mark.parametrize(
    ("name", "count", "places"),
    [
        ("cityscapes", 19, {0: "road", 7: "traffic sign", 10: "sky", 13: "car", 18: "bicycle"}),
        (
            "ade20k",
            150,
            {0: "wall", 12: "person", 20: "car", 43: "signboard", 80: "bus", 127: "bicycle", 149: "flag"},
        ),
        (
            "coco",
            171,
            {0: "person", 2: "car", 79: "toothbrush", 80: "banner", 119: "mat", 150: "stone", 170: "wood"},
        ),
    ],
)
def test_the_label_sets_have_their_classes_in_the_official_order(
    name: LabelSet, count: int, places: dict[int, str]
) -> None:
    words = LABEL_SETS[name]
    assert len(words) == count
    assert {place: words[place][0] for place in places} == places


@pytest.mark.parametrize("name", LABEL_SETS)
def test_each_class_of_a_label_set_has_a_name_of_its_own_that_names_it(name: LabelSet) -> None:
    words = ClassWords(LABEL_SETS[name])
    assert len(set(words.names)) == len(words)
    for index, synonyms in enumerate(LABEL_SETS[name]):
        assert len(set(synonyms)) == len(synonyms)
        for word in synonyms:
            assert normalise(word) == word
            assert index in words.phrase_of_each([word])


@pytest.mark.parametrize("phrase", ["chest of drawers", "old dresser"])
def test_a_word_with_a_preposition_inside_is_one_word(phrase: str) -> None:
    words = ClassWords(LABEL_SETS["ade20k"])
    assert 44 in words.phrase_of_each([phrase])
