"""A floor for the scores of random weights, which give far more boxes than real weights do."""

from __future__ import annotations

from preprocess.lvm.phrase_scores import NamedBoxes


def floor_for(boxes: NamedBoxes, count: int) -> float:
    """The floor that keeps the best `count` of `boxes`, which are sorted by descending score."""
    return float(boxes.scores[count - 1 : count + 1].mean())
