"""Grounding DINO of random weights finds hundreds of boxes; a benchmark wants about as many as a real one."""

from __future__ import annotations

from preprocess.lvm.box_search import BoxSearch
from preprocess.lvm.device import Halving
from preprocess.lvm.grounded_sam import DINO, BoxFinder
from preprocess.lvm.params import GroundedSamParams
from preprocess.lvm.phrase_scores import NamedBoxes


def search_with(finder: BoxFinder, params: GroundedSamParams) -> BoxSearch:
    """`finder` asked as `grounded_sam` asks it."""
    return BoxSearch(
        ask=finder.ask,
        token_count=finder.token_count,
        window=finder.model.max_text_len,
        params=params,
        in_batches=Halving(DINO, params.run.batch),
    )


def floor_for(boxes: NamedBoxes, count: int) -> float:
    """The score between the boxes number `count` and `count + 1`, of boxes by descending score."""
    return float(boxes.scores[count - 1 : count + 1].mean())
