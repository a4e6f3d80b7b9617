from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.errors import DataError
from preprocess.lvm.phrase_scores import (
    NamedBoxes,
    Prompt,
    concatenate,
    lone_phrases,
    named_boxes,
    phrase_scores,
    pixels,
    prompts_of,
    suppress,
)

CAR_AND_SIGN = Prompt("car . traffic sign .", ("car", "traffic sign"), ((1, 2), (3, 5)))

phrases = st.lists(st.sampled_from(["car", "road", "traffic sign", "a b c", "x y z w", "tree", "sky"]))
windows = st.integers(min_value=7, max_value=16)


def words(text: str) -> int:
    return len(text.split())


def boxes_of(*rows: tuple[float, float, float, float, float], phrases: str = "") -> NamedBoxes:
    """Boxes from (x1, y1, x2, y2, score); phrases: a letter each."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return NamedBoxes(table[:, :4], table[:, 4], tuple(phrases or "a" * len(table)))


def test_phrases_that_fit_stand_in_one_prompt_each_ended_by_a_stop() -> None:
    assert prompts_of(["car", "traffic sign"], words, 256) == [CAR_AND_SIGN]


def test_a_full_window_starts_another_pass() -> None:
    found = prompts_of(["a", "b b", "c", "d"], words, 2 + 2 + 3)  # start and end; "a ."; "b b ."
    assert [prompt.text for prompt in found] == ["a . b b .", "c . d ."]
    assert [prompt.spans for prompt in found] == [((1, 2), (3, 5)), ((1, 2), (3, 4))]


@settings(max_examples=50, deadline=None)
@given(phrases, windows, st.none() | st.integers(1, 4))
def test_every_phrase_is_asked_for_once_within_the_window(
    vocabulary: list[str], window: int, most: int | None
) -> None:
    found = prompts_of(vocabulary, words, window, most)
    assert [phrase for prompt in found for phrase in prompt.phrases] == list(dict.fromkeys(vocabulary))
    for prompt in found:
        tokens = ["start", *prompt.text.split(), "end"]
        assert len(tokens) <= window
        assert most is None or len(prompt.phrases) <= most
        assert [" ".join(tokens[first:behind]) for first, behind in prompt.spans] == list(prompt.phrases)
        assert {tokens[behind] for _, behind in prompt.spans} == {"."}


@settings(max_examples=50, deadline=None)
@given(phrases, windows)
def test_a_pass_ends_only_where_the_next_phrase_does_not_fit(vocabulary: list[str], window: int) -> None:
    found = prompts_of(vocabulary, words, window)
    for prompt, following in pairwise(found):
        assert 2 + words(prompt.text) + words(following.phrases[0]) + 1 > window


def test_a_phrase_that_no_window_holds_is_refused_by_name() -> None:
    assert prompts_of(["a b c d"], words, 7)
    with pytest.raises(DataError, match=r"the phrase 'a b c d e'... has 5 tokens.* 7 holds; shorten it"):
        prompts_of(["car", "a b c d e"], words, 7)


def test_signs_that_end_a_phrase_are_not_asked_for_inside_one() -> None:
    (prompt,) = prompts_of(["St. Mary's church", "what?"], words, 256)
    assert prompt.text == "st mary's church . what ."
    assert prompt.phrases == ("St. Mary's church", "what?")
    assert prompt.spans == ((1, 4), (5, 6))


def test_no_words_make_no_prompt() -> None:
    assert prompts_of([], words, 256) == []
    assert prompts_of(["?"], words, 256) == []


def test_a_phrase_scores_what_its_best_token_does() -> None:
    logits = np.full((1, 6), -np.inf, np.float32)
    logits[0, [1, 3, 4]] = 0.0, -2.0, math.log(3)
    np.testing.assert_allclose(phrase_scores(logits, CAR_AND_SIGN), [[0.5, 0.75]], rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_scores_equal_a_loop_over_boxes_phrases_and_tokens(seed: int, lengths: list[int]) -> None:
    vocabulary = [" ".join(["word"] * length + [str(number)]) for number, length in enumerate(lengths)]
    (prompt,) = prompts_of(vocabulary, words, 256)
    logits = np.random.default_rng(seed).normal(0, 4, (7, 64)).astype(np.float32)
    slow = [
        [max(1 / (1 + math.exp(-row[token])) for token in range(*span)) for span in prompt.spans]
        for row in logits.tolist()
    ]
    np.testing.assert_allclose(phrase_scores(logits, prompt), slow, rtol=1e-5)


def named(*rows: tuple[tuple[float, ...], float, float], floor: float = 0.25) -> NamedBoxes:
    """Rows of (box, probability of car, of sign) in an image of 100 x 200."""
    logits = np.full((len(rows), 6), -np.inf, np.float32)
    for row, (_, car, sign) in zip(logits, rows):
        row[1], row[4] = (math.log(p / (1 - p)) for p in (car, sign))
    boxes = np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4)
    return named_boxes(logits, boxes, CAR_AND_SIGN, (100, 200), floor)


def test_a_box_is_named_by_its_best_phrase_in_pixels() -> None:
    found = named(((0.5, 0.5, 0.2, 0.4), 0.3, 0.6))
    assert found.phrases == ("traffic sign",)
    np.testing.assert_allclose(found.scores, [0.6], rtol=1e-5)
    np.testing.assert_allclose(found.xyxy, [[80, 30, 120, 70]], rtol=1e-5)


def test_what_no_phrase_fits_is_left_out() -> None:
    box = (0.5, 0.5, 0.1, 0.1)
    found = named((box, 0.1, 0.24), (box, 0.9, 0.1), (box, 0.2, 0.1), (box, 0.1, 0.26))
    assert found.phrases == ("car", "traffic sign")


def test_the_first_of_equally_good_phrases_names_the_box() -> None:
    assert named(((0.5, 0.5, 0.1, 0.1), 0.7, 0.7)).phrases == ("car",)


def test_a_box_is_cut_at_the_edge_and_dropped_beyond_it() -> None:
    found = named(((0.0, 0.5, 0.5, 2.0), 0.9, 0.1), ((1.2, 0.5, 0.1, 0.1), 0.9, 0.1))
    np.testing.assert_allclose(found.xyxy, [[0, 0, 50, 100]], rtol=1e-5)


def test_boxes_of_a_padded_frame_are_cut_at_the_edge_of_the_image() -> None:
    shares = np.array([[0.25, 0.25, 0.1, 0.1], [0.5, 0.5, 1.0, 1.0], [0.5, 0.9, 0.2, 0.1]], np.float32)
    wide, tall = pixels(shares, (200, 200), (100, 200)), pixels(shares, (200, 200), (200, 100))
    np.testing.assert_allclose(wide, [[40, 40, 60, 60], [0, 0, 200, 100], [80, 100, 120, 100]], rtol=1e-5)
    np.testing.assert_allclose(tall, [[40, 40, 60, 60], [0, 0, 100, 200], [80, 170, 100, 190]], rtol=1e-5)


def test_lone_phrases_are_distinct_in_order_and_fit_the_window() -> None:
    found = lone_phrases(["Parked  Car", "road", "", "road", "a b"], words, 4)
    assert found == {"Parked  Car": "parked car", "road": "road", "a b": "a b"}
    with pytest.raises(DataError, match=r"the phrase 'a b c'\.\.\. has 3 tokens, .* window of 4 holds"):
        lone_phrases(["road", "a b c"], words, 4)


def suppressed_slowly(boxes: NamedBoxes, max_iou: float) -> list[int]:
    """The indices that survive, best first, from the definition."""

    def iou(i: int, j: int) -> float:
        a, b = boxes.xyxy[i].tolist(), boxes.xyxy[j].tolist()
        width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
        height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
        return width * height / (sum(areas) - width * height)

    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-boxes.scores[i], i)):
        if all(iou(i, j) <= max_iou for j in kept):
            kept.append(i)
    return kept


def test_the_worse_of_two_boxes_of_one_thing_goes_whatever_its_name() -> None:
    boxes = boxes_of((0, 0, 10, 10, 0.6), (0, 0, 10, 9, 0.8), (20, 0, 30, 10, 0.5), phrases="abc")
    found = suppress(boxes, 0.8)
    assert found.phrases == ("b", "c")
    np.testing.assert_allclose(found.scores, [0.8, 0.5])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 20), st.floats(0, 1))
def test_suppression_equals_its_definition(seed: int, count: int, max_iou: float) -> None:
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 12, (count, 2))
    table = np.concatenate([low, low + rng.integers(1, 8, (count, 2))], axis=1).astype(np.float32)
    scores = rng.integers(0, 5, count).astype(np.float32) / 8
    boxes = NamedBoxes(table, scores, tuple(f"phrase {i}" for i in range(count)))
    kept = suppressed_slowly(boxes, max_iou)
    found = suppress(boxes, max_iou)
    assert found.phrases == tuple(f"phrase {i}" for i in kept)
    np.testing.assert_array_equal(found.xyxy, table[kept])
    np.testing.assert_array_equal(found.scores, scores[kept])


def test_no_boxes_stay_no_boxes() -> None:
    none = suppress(concatenate([]), 0.8)
    assert len(none) == 0 and none.xyxy.shape == (0, 4) and none.scores.dtype == np.float32
