"""From phrases to the prompts of Grounding DINO, and from its answers back to phrases.

The model scores each box against each token of the prompt. Its libraries keep the tokens above a threshold
and read them as text. That merges phrases ("plant flower") and leaves word pieces. Here each phrase of the
prompt gets the score of its best token, and the best phrase names the box.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from lass3d_core.errors import DataError

TokenCount = Callable[[str], int]
"""The number of tokens of a text, without start and end. It must be additive over words, as BERT's is."""

_START, _END, _STOP = 1, 1, 1
_ENDS_OF_PHRASES = re.compile(r"[.?]")


class Prompt(NamedTuple):
    """The prompt of one pass."""

    text: str  # the phrases, each followed by " . "
    phrases: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]  # tokens of each phrase, (first, behind the last); 0 is the start


@dataclass(frozen=True)
class NamedBoxes:
    """Boxes of one image. xyxy (B,4) float32: pixels. scores (B,) float32: in [0,1]. phrases: one per box."""

    xyxy: np.ndarray
    scores: np.ndarray
    phrases: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.phrases)


def prompts_of(
    vocabulary: Iterable[str], token_count: TokenCount, window: int, max_phrases: int | None = None
) -> list[Prompt]:
    """Put the distinct phrases into as few prompts as possible, in their order.

    A prompt has at most `window` tokens, start and end included, and `max_phrases` phrases. A phrase without
    any token is left out.
    Decision: a full stop or question mark inside a phrase becomes a blank, because the model takes it for the
    end of a phrase. Raises DataError for a phrase that is longer than the window.
    """
    prompts: list[Prompt] = []
    free = _START  # the first free token of the last prompt
    for phrase in dict.fromkeys(vocabulary):
        asked = " ".join(_ENDS_OF_PHRASES.sub(" ", phrase.lower()).split())
        length = token_count(asked)
        if length == 0:
            continue
        if _START + length + _STOP + _END > window:
            raise _too_long(phrase, length, window)
        if not prompts or free + length + _STOP + _END > window or len(prompts[-1].phrases) == max_phrases:
            prompts.append(Prompt("", (), ()))
            free = _START
        text, phrases, spans = prompts[-1]
        prompts[-1] = Prompt(
            f"{text} {asked} .".lstrip(), (*phrases, phrase), (*spans, (free, free + length))
        )
        free += length + _STOP
    return prompts


def lone_phrases(vocabulary: Iterable[str], token_count: TokenCount, window: int) -> dict[str, str]:
    """Phrase -> what a model is asked that takes each phrase alone: the distinct phrases, in their order.

    A phrase without any token is left out. Raises DataError for a phrase that is longer than the window.
    """
    asked = {phrase: " ".join(phrase.lower().split()) for phrase in vocabulary}
    lengths = {phrase: token_count(text) for phrase, text in asked.items()}
    for phrase, length in lengths.items():
        if _START + length + _END > window:
            raise _too_long(phrase, length, window)
    return {phrase: text for phrase, text in asked.items() if lengths[phrase]}


def _too_long(phrase: str, length: int, window: int) -> DataError:
    return DataError(
        f"the phrase {phrase[:40]!r}... has {length} tokens, more than the text encoder's window of "
        f"{window} holds; shorten it"
    )


def named_boxes(
    logits: np.ndarray, boxes_cxcywh: np.ndarray, prompt: Prompt, size_hw: tuple[int, int], floor: float
) -> NamedBoxes:
    """The boxes of one pass, see `best_named`.

    logits (Q,T): per box and token. boxes_cxcywh (Q,4): centre and extent as shares of an image of size_hw.
    """
    scores = phrase_scores(logits, prompt)
    return best_named(scores, pixels(boxes_cxcywh, size_hw, size_hw), prompt.phrases, floor)


def best_named(scores: np.ndarray, xyxy: np.ndarray, phrases: Sequence[str], floor: float) -> NamedBoxes:
    """The boxes whose best phrase has a score of `floor` or more, in the order of the model.

    scores (Q,P) float32: per box and phrase. xyxy (Q,4) float32: pixels; a box without an area is dropped.
    Of equally good phrases, the first names the box.
    """
    best = scores.argmax(axis=1)
    score = scores[np.arange(len(scores)), best]
    kept = np.flatnonzero((score >= floor) & (xyxy[:, 2:] > xyxy[:, :2]).all(axis=1))
    return NamedBoxes(xyxy[kept], score[kept], tuple(phrases[best[i]] for i in kept))


def phrase_scores(logits: np.ndarray, prompt: Prompt) -> np.ndarray:
    """The greatest probability among the tokens of a phrase, per box and phrase: (Q,P) float32 in [0,1]."""
    spans = [logits[:, first:behind].max(axis=1) for first, behind in prompt.spans]
    return expit(np.stack(spans, axis=1).astype(np.float32))


def concatenate(parts: Sequence[NamedBoxes]) -> NamedBoxes:
    """The boxes of several passes over one image."""
    return NamedBoxes(
        xyxy=np.concatenate([np.zeros((0, 4), np.float32), *(part.xyxy for part in parts)]),
        scores=np.concatenate([np.zeros(0, np.float32), *(part.scores for part in parts)]),
        phrases=tuple(phrase for part in parts for phrase in part.phrases),
    )


def suppress(boxes: NamedBoxes, max_iou: float) -> NamedBoxes:
    """The boxes that remain after suppression, the best first, see `remaining`."""
    kept = remaining(boxes, max_iou)
    return NamedBoxes(boxes.xyxy[kept], boxes.scores[kept], tuple(boxes.phrases[i] for i in kept))


def remaining(boxes: NamedBoxes, max_iou: float) -> list[int]:
    """Greedy non-maximum suppression over all phrases: indices of the boxes that remain, the best first.

    A box is dropped if it overlaps a better one by more than `max_iou`. Equal scores keep their order.
    """
    order = np.argsort(-boxes.scores, kind="stable")
    kept: list[int] = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(int(best))
        order = order[_iou(boxes.xyxy[best], boxes.xyxy[order]) <= max_iou]
    return kept


def pixels(boxes_cxcywh: np.ndarray, frame_hw: tuple[int, int], size_hw: tuple[int, int]) -> np.ndarray:
    """Boxes, shares of a frame, as xyxy (Q,4) float32 in pixels, cut at the edge of the image.

    frame_hw: height and width of the frame, of which the image of size_hw is the upper left part.
    """
    centre, extent = boxes_cxcywh[:, :2], boxes_cxcywh[:, 2:]
    corners = np.concatenate([centre - extent / 2, centre + extent / 2], axis=1)
    frame, size = [*frame_hw[::-1], *frame_hw[::-1]], [*size_hw[::-1], *size_hw[::-1]]
    return (corners * frame).clip(0, size).astype(np.float32)


def _iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union (B,) of `box` (4,) with each of `others` (B,4)."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = (high - low).clip(0).prod(axis=1)
    return shared / ((box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - shared)
