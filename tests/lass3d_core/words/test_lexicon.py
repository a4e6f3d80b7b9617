from __future__ import annotations

import pytest

from lass3d_core.datasets.nuscenes.classes import LABEL_SPACE as NUSCENES
from lass3d_core.datasets.scannet.reader import LABEL_SPACE as SCANNET
from lass3d_core.datasets.semantickitti.reader import LABEL_SPACE as KITTI
from lass3d_core.labels import class_phrase
from lass3d_core.words.lexicon import Lexicon
from lass3d_core.words.synonyms import BUILT_IN


def named(phrase: str, *names: str, **synonyms: tuple[str, ...]) -> set[str]:
    return {names[i] for i in Lexicon(names, synonyms).classes_of(phrase)}


@pytest.mark.parametrize(
    ("phrase", "name"),
    [
        ("car", "car"),
        ("a parked car", "car"),
        ("two cars", "car"),
        ("automobile", "car"),
        ("Traffic-Sign", "traffic-sign"),
        ("road sign", "traffic-sign"),
        ("tree trunk", "trunk"),
        ("car on the road", "car"),
        ("a row of trees", "vegetation"),
        ("people", "person"),
        ("bushes", "vegetation"),
        ("the side of a house", "building"),
        ("grass", "terrain"),
    ],
)
def test_the_last_words_name_a_class_of_semantickitti(phrase: str, name: str) -> None:
    assert named(phrase, *KITTI.names) == {name}


@pytest.mark.parametrize("phrase", ["sky", "car door", "carpet", "road trip", "", "...", "on", "bu", "of of"])
def test_a_word_that_only_contains_a_class_names_none(phrase: str) -> None:
    assert named(phrase, *KITTI.names) == set()


def test_two_things_of_a_phrase_both_count() -> None:
    assert named("trees and parked cars", *KITTI.names) == {"vegetation", "car"}


def test_a_word_for_several_classes_names_each() -> None:
    assert named("vehicle", "car", "truck", "road") == {"car", "truck"}


def test_the_longest_match_wins() -> None:
    assert named("shower curtain", *SCANNET.names) == {"shower curtain"}
    assert named("red curtain", *SCANNET.names) == {"curtain"}


def test_a_class_takes_its_own_name_from_the_built_in_synonyms_of_another() -> None:
    assert named("tree", "tree", "vegetation") == {"tree"}
    assert named("trees", "vegetation") == {"vegetation"}
    assert named("old trees", "trees", "vegetation") == {"trees"}


def test_synonyms_of_the_manifest_count_and_take_the_word_from_the_built_in_ones() -> None:
    assert named("silver estate wagon", "car", car=("estate wagon",)) == {"car"}
    assert named("hedge", "vegetation", "wall", wall=("hedge",)) == {"wall"}


def test_names_may_have_letters_of_any_language() -> None:
    assert named("große Straße", "Straße", "Baum") == {"Straße"}
    assert named("道路", "道路") == {"道路"}


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("bus", "buses"),
        ("bench", "benches"),
        ("lorry", "lorries"),
        ("person", "people"),
        ("glass", "glasses"),
    ],
)
def test_a_plural_is_the_same_word(one: str, many: str) -> None:
    assert named(many, one, "other") == {one} == named(one, one, "other")
    assert named(one, many, "other") <= {many}


def test_built_in_synonyms_belong_to_classes_of_a_layout() -> None:
    layouts = {class_phrase(name) for space in (KITTI, NUSCENES, SCANNET) for name in space.names}
    assert set(BUILT_IN) - layouts == set()
