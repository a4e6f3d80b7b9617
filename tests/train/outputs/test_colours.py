from __future__ import annotations

import numpy as np

from train.outputs.colours import distinct_colours, phrase_colours


def test_the_first_colours_are_far_from_grey_and_from_each_other() -> None:
    palette = np.array(distinct_colours(24), float)
    distance = np.linalg.norm(palette[:, None] - palette[None], axis=2) + 1e3 * np.eye(24)
    assert distance.min() > 25
    assert np.ptp(palette, axis=1).min() > 80
    assert len(set(distinct_colours(500))) > 490


def test_phrases_that_are_seen_together_differ_in_colour() -> None:
    together = [{"a", "b", "c"}, {"c", "d"}, {"a", "d"}]
    colours = phrase_colours(together)
    assert all(len({colours[phrase] for phrase in phrases}) == len(phrases) for phrases in together)


def test_more_phrases_than_colours_are_no_fault() -> None:
    assert len(phrase_colours([{f"thing {number}" for number in range(50)}])) == 50
