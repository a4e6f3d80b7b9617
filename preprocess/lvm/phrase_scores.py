"""Phrases into the prompts of Grounding DINO, and its answers back into phrases; the same for both detectors.

The model scores each box against each token of its prompt. Its libraries threshold the tokens and read the
rest back as text, which merges phrases ("plant flower") and cuts them into word pieces. Here a box is scored
against the tokens of each phrase that was asked for, and is named by the best of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from lass3d_core.errors import DataError

TokenCount = Callable[[str], int]
"""Tokens of a text, without the start and end tokens; must be additive over words, as BERT's is."""

_START, _END, _STOP = 1, 1, 1
_ENDS_OF_PHRASES = re.compile(r"[.?]")


@dataclass(frozen=True)
class Prompt:
    """What one pass asks for.

    text: every phrase followed by " . ". spans: per phrase its tokens as (first, behind the last), counted
    with the start token.
    """

    text: str
    phrases: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class NamedBoxes:
    """Boxes of one image. xyxy (B,4) float32 pixels, scores (B,) float32 in [0,1], a phrase for each."""

    xyxy: np.ndarray
    scores: np.ndarray
    phrases: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.phrases)


def prompts_of(
    vocabulary: Iterable[str], token_count: TokenCount, window: int, max_phrases: int | None = None
) -> list[Prompt]:
    """The distinct phrases in as few prompts as hold them: at most `window` tokens (start and end included)
    and `max_phrases` phrases each. Phrases keep their order; one without any token is left out.

    Decision: a stop or question mark inside a phrase is asked for as a blank, for the model takes either for
    the end of a phrase. Raises DataError for a phrase that is longer than the window.
    """
    passes: list[list[tuple[str, str, int]]] = []
    tokens = 0
    for phrase, asked, length in _counted(vocabulary, token_count):
        if _START + length + _STOP + _END > window:
            raise DataError(
                f"the phrase {phrase[:40]!r}... has {length} tokens, more than the text encoder's window of "
                f"{window} holds; shorten it"
            )
        full = not passes or tokens + length + _STOP > window or len(passes[-1]) == max_phrases
        if full:
            passes.append([])
            tokens = _START + _END
        passes[-1].append((phrase, asked, length))
        tokens += length + _STOP
    return [_prompt(phrases) for phrases in passes]


def named_boxes(
    logits: np.ndarray, boxes_cxcywh: np.ndarray, prompt: Prompt, size_hw: tuple[int, int], floor: float
) -> NamedBoxes:
    """The boxes whose best phrase scores at least `floor`, in the order of the model.

    logits (Q,T) per box and token; boxes_cxcywh (Q,4), centre and extent as shares of the image, whose size
    is size_hw. Boxes are cut at the image's edge; those wholly outside are dropped. Of equally good phrases
    the first names the box.
    """
    scores = phrase_scores(logits, prompt)
    best = scores.argmax(axis=1)
    score = scores[np.arange(len(scores)), best]
    xyxy = _pixels(boxes_cxcywh, size_hw)
    kept = np.flatnonzero((score >= floor) & (xyxy[:, 2:] > xyxy[:, :2]).all(axis=1))
    return NamedBoxes(xyxy[kept], score[kept], tuple(prompt.phrases[best[i]] for i in kept))


def phrase_scores(logits: np.ndarray, prompt: Prompt) -> np.ndarray:
    """(Q,P) float32 in [0,1]: per box and phrase, the greatest probability among the phrase's tokens."""
    spans = [logits[:, first:behind].max(axis=1) for first, behind in prompt.spans]
    return expit(np.stack(spans, axis=1).astype(np.float32))


def join_tokens(parts: Sequence[NamedBoxes]) -> NamedBoxes:
    """The boxes of several passes over one image."""
    return NamedBoxes(
        xyxy=np.concatenate([np.zeros((0, 4), np.float32), *(part.xyxy for part in parts)]),
        scores=np.concatenate([np.zeros(0, np.float32), *(part.scores for part in parts)]),
        phrases=tuple(phrase for part in parts for phrase in part.phrases),
    )


def suppressed(boxes: NamedBoxes, max_iou: float) -> NamedBoxes:
    """`boxes` by descending score, without those that overlap a better one, of whatever phrase, by more than
    `max_iou`: greedy non-maximum suppression. Equal scores keep their order.
    """
    order = np.argsort(-boxes.scores, kind="stable")
    kept: list[int] = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(int(best))
        order = order[_iou(boxes.xyxy[best], boxes.xyxy[order]) <= max_iou]
    return NamedBoxes(boxes.xyxy[kept], boxes.scores[kept], tuple(boxes.phrases[i] for i in kept))


def _counted(vocabulary: Iterable[str], token_count: TokenCount) -> list[tuple[str, str, int]]:
    """Each distinct phrase, how it is asked for, and how many tokens that has; none without tokens."""
    asked = {phrase: _asked(phrase) for phrase in vocabulary}
    counted = [(phrase, text, token_count(text)) for phrase, text in asked.items()]
    return [row for row in counted if row[2] > 0]


def _asked(phrase: str) -> str:
    return " ".join(_ENDS_OF_PHRASES.sub(" ", phrase.lower()).split())


def _prompt(phrases: Sequence[tuple[str, str, int]]) -> Prompt:
    spans = []
    first = _START
    for _, _, length in phrases:
        spans.append((first, first + length))
        first += length + _STOP
    text = " ".join(f"{asked} ." for _, asked, _ in phrases)
    return Prompt(text, tuple(phrase for phrase, _, _ in phrases), tuple(spans))


def _pixels(boxes_cxcywh: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """(Q,4) float32: the boxes' left, upper, right and lower edges in pixels, inside the image."""
    height, width = size_hw
    centre, extent = boxes_cxcywh[:, :2], boxes_cxcywh[:, 2:]
    corners = np.concatenate([centre - extent / 2, centre + extent / 2], axis=1).clip(0, 1)
    return (corners * (width, height, width, height)).astype(np.float32)


def _iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(B,): how much of the union of `box` (4,) and each of `others` (B,4) both cover."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = (high - low).clip(0).prod(axis=1)
    return shared / ((box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - shared)
