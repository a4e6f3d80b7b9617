"""Grounding DINO over images that each have their own vocabulary: passes, batches, one list per image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lass3d_core.files.masks import encode
from lass3d_core.records import Entity
from preprocess.lvm.device import Halving
from preprocess.lvm.params import DetectorParams
from preprocess.lvm.phrase_scores import (
    NamedBoxes,
    Prompt,
    TokenCount,
    join_tokens,
    named_boxes,
    prompts_of,
    suppressed,
)

Answer = tuple[np.ndarray, np.ndarray]
"""Of one image and prompt: logits (Q,T) float32, and boxes_cxcywh (Q,4) float32 as shares of the image."""

BOXES_AT_ONCE = 32
"""Boxes that are masked together: each takes about 4 MB per step at the size of a KITTI image."""

Ask = Callable[[Sequence[np.ndarray], Sequence[str]], list[Answer]]
"""Images of one size, and a prompt for each, through the model."""


@dataclass(frozen=True)
class BoxSearch:
    """How one model is asked. window: most tokens that its text encoder reads, start and end included."""

    ask: Ask
    token_count: TokenCount
    window: int
    params: DetectorParams
    in_batches: Halving

    def __call__(
        self, images: Sequence[np.ndarray], vocabularies: Sequence[Sequence[str]]
    ) -> list[NamedBoxes]:
        """Per image, the boxes that remain after suppression over all its passes, best first.

        A batch holds images of one size: padding to a common size would change what the model sees in them.
        Raises DataError for a phrase that is longer than the window.
        """
        passes = [
            (index, prompt)
            for index, (_, words) in enumerate(zip(images, vocabularies, strict=True))
            for prompt in prompts_of(words, self.token_count, self.window, self.params.max_phrases)
        ]
        by_size: dict[tuple[int, int], list[tuple[int, Prompt]]] = defaultdict(list)
        for index, prompt in passes:
            by_size[images[index].shape[:2]].append((index, prompt))
        found: dict[int, list[NamedBoxes]] = defaultdict(list)
        for size_hw, group in by_size.items():
            for (index, prompt), (logits, boxes) in zip(group, self._answers(images, group)):
                found[index].append(named_boxes(logits, boxes, prompt, size_hw, self.params.box_floor))
        return [suppressed(join_tokens(found[index]), self.params.max_iou) for index in range(len(images))]

    def _answers(self, images: Sequence[np.ndarray], group: Sequence[tuple[int, Prompt]]) -> list[Answer]:
        def run(batch: Sequence[tuple[int, Prompt]]) -> list[Answer]:
            return self.ask([images[index] for index, _ in batch], [prompt.text for _, prompt in batch])

        return self.in_batches(run, group)


def entities_of(boxes: NamedBoxes, masks: Iterable[np.ndarray]) -> list[Entity]:
    """One entity per box, in order, with its mask (H,W) bool; a mask without a pixel names nothing."""
    return [
        Entity(phrase, float(score), tuple(map(float, box)), encode(mask))
        for phrase, score, box, mask in zip(boxes.phrases, boxes.scores, boxes.xyxy, masks, strict=True)
        if mask.any()
    ]


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Matrix products in `dtype`, what needs more precision in float32; the weights stay as they are."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
