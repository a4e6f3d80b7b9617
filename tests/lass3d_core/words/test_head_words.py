"""When a phrase names a word: by its last words, before a preposition, in the singular or the plural."""

from __future__ import annotations

import pytest

from lass3d_core.words.head_words import HeadWords

KNOWN = HeadWords[str]()
for word in ("car", "tree", "trunk", "traffic-sign", "road", "chest of drawers", "glass", "bus", "person"):
    KNOWN.add(word, word)


@pytest.mark.parametrize(
    ("phrase", "named"),
    [
        ("a parked car", ["car"]),
        ("Cars", ["car"]),
        ("tree trunk", ["trunk"]),
        ("a traffic sign", ["traffic-sign"]),
        ("traffic_signs", ["traffic-sign"]),
        ("car on the road", ["car"]),
        ("row of trees", ["tree"]),
        ("trees and a car", ["tree", "car"]),
        ("chest of drawers", ["chest of drawers"]),
        ("glass", ["glass"]),
        ("buses", ["bus"]),
        ("three people", ["person"]),
        ("car park", []),
        ("", []),
        ("of", []),
    ],
)
def test_a_phrase_names_its_last_words(phrase: str, named: list[str]) -> None:
    assert KNOWN.named_by(phrase) == named


def test_a_word_may_mean_several_things_and_is_known_in_the_plural() -> None:
    words = HeadWords[int]()
    words.add("vehicles", 1)
    words.add("vehicle", 2)
    assert sorted(words.named_by("a red vehicle")) == [1, 2]
    assert "vehicle" in words and "Vehicles" in words and "wheel" not in words
