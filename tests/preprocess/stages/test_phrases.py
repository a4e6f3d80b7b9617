from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.stages.phrases import normalise, normalise_all


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("A car", "car"),
        ("the  white\tfence.", "white fence"),
        ("<phrase>an old tree</phrase>", "old tree"),
        ("<grounding> a road<patch_index_0044><patch_index_0863>", "road"),
        ("the a car", "car"),
        ("a 'stop' sign", "stop sign"),
        ("the driver's seat", "driver's seat"),
        ("theatre", "theatre"),
        ("another car", "another car"),
        ("Straße", "straße"),
    ],
)
def test_spellings_of_one_thing_become_one_phrase(raw: str, expected: str) -> None:
    assert normalise(raw) == expected


@pytest.mark.parametrize(
    "raw",
    ["", "  ", "...", "##ing", "man ##ab", "the", "an image", "Photo.", "the scene", "<object></object>"],
)
def test_what_names_no_thing_is_refused(raw: str) -> None:
    assert normalise(raw) is None


def test_distinct_phrases_keep_the_order_of_their_first_occurrence() -> None:
    assert normalise_all(["a road", "The car", "##x", "road", "car."]) == ("road", "car")


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=30))
def test_a_normalised_phrase_stays_as_it_is(raw: str) -> None:
    once = normalise(raw)
    assert once is None or normalise(once) == once
