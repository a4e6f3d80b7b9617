from __future__ import annotations

import pytest

from preprocess.lvm.sentences import ended, without_tail


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("A car. A road. A hou", "A car. A road."),
        ("A car. A road.", "A car. A road."),
        ("Is it a car? It is", "Is it a car?"),
        ("a lane 3.5 m wide and a", "a lane 3.5 m wide and"),
        ("a car on the roa", "a car on the"),
        ("ca", "ca"),
        ("", ""),
    ],
)
def test_a_cut_answer_goes_back_to_its_last_whole_sentence_or_word(text: str, mended: str) -> None:
    assert without_tail(text) == mended


@pytest.mark.parametrize(("text", "sentence"), [("a car ", "a car."), ("a car.", "a car."), ("ho!", "ho!")])
def test_a_sentence_has_a_full_stop(text: str, sentence: str) -> None:
    assert ended(text) == sentence
