"""The two steps of a grounded detector: boxes for the phrases of an image, then a mask per box."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch

from lass3d_core.files.masks import encode
from lass3d_core.records import Entity
from preprocess.lvm.device import Halving
from preprocess.lvm.params import PromptedParams
from preprocess.lvm.phrase_scores import NamedBoxes, Prompt, concatenate, named_boxes, prompts_of, suppress

BoxFinder = Callable[[Sequence[np.ndarray], Sequence[Sequence[str]]], list[NamedBoxes]]
"""To images (H,W,3) uint8 and their vocabularies: per image, its boxes after suppression, the best first.

Raises DataError for a phrase longer than the text encoder's window.
"""

Answer = tuple[np.ndarray, np.ndarray]
"""To one image and prompt: logits (Q,T) float32, and boxes_cxcywh (Q,4) float32 as shares of the image."""

# Boxes that are masked together. Each takes about 4 MB per decoding step at the size of a KITTI image.
BOXES_AT_ONCE = 32


class BoxModel(Protocol):
    """A Grounding DINO. window: most tokens of a prompt, start and end included."""

    window: int

    def token_count(self, text: str) -> int:
        """The number of tokens of `text`, without start and end."""

    def ask(self, images: Sequence[np.ndarray], prompts: Sequence[str]) -> list[Answer]:
        """An answer per image (H,W,3) uint8 and its prompt; the images have one size."""


class MaskModel(Protocol):
    """A Segment Anything."""

    def masks(self, image: np.ndarray, boxes_xyxy: np.ndarray) -> list[np.ndarray]:
        """A mask (H,W) bool for each of boxes_xyxy (B,4) in pixels of an image (H,W,3) uint8; B may be 0."""


class GroundedDetector:
    """An `EntityDetector` from a box finder and a mask model."""

    def __init__(self, find: BoxFinder, masks: MaskModel) -> None:
        self._find, self._masks = find, masks

    def detect(
        self, images: Sequence[np.ndarray], vocabularies: Sequence[Sequence[str]]
    ) -> list[list[Entity]]:
        """Per image, the entities with a score of `box_floor` or more, the best first.

        A phrase of the image's vocabulary names each. Raises DataError for a phrase longer than the window.
        """
        found = self._find(images, vocabularies)
        return [self._entities(image, boxes) for image, boxes in zip(images, found)]

    def _entities(self, image: np.ndarray, boxes: NamedBoxes) -> list[Entity]:
        masks = self._masks.masks(image, boxes.xyxy)
        return [
            Entity(phrase, score, (x1, y1, x2, y2), encode(mask))
            for phrase, score, (x1, y1, x2, y2), mask in zip(
                boxes.phrases, boxes.scores.tolist(), boxes.xyxy.tolist(), masks, strict=True
            )
            if mask.any()
        ]


class BoxSearch:
    """A `BoxFinder`: asks a box model for the phrases in as few passes and batches as possible.

    name: of the box model, for messages.
    """

    def __init__(self, name: str, model: BoxModel, params: PromptedParams) -> None:
        self._model, self._params = model, params
        self._in_batches = Halving(name, params.run.batch)

    def __call__(
        self, images: Sequence[np.ndarray], vocabularies: Sequence[Sequence[str]]
    ) -> list[NamedBoxes]:
        """See `BoxFinder`; suppression is over all passes of an image."""
        model, params = self._model, self._params
        # A batch holds images of one size: padding to a common size would change what the model sees.
        by_size: dict[tuple[int, int], list[tuple[int, Prompt]]] = defaultdict(list)
        for index, (image, words) in enumerate(zip(images, vocabularies, strict=True)):
            prompts = prompts_of(words, model.token_count, model.window, params.max_phrases)
            by_size[image.shape[:2]] += [(index, prompt) for prompt in prompts]

        def ask(batch: Sequence[tuple[int, Prompt]]) -> list[Answer]:
            return model.ask([images[index] for index, _ in batch], [prompt.text for _, prompt in batch])

        found: dict[int, list[NamedBoxes]] = defaultdict(list)
        for size_hw, passes in by_size.items():
            for (index, prompt), (logits, boxes) in zip(passes, self._in_batches(ask, passes)):
                found[index].append(named_boxes(logits, boxes, prompt, size_hw, params.box_floor))
        return [suppress(concatenate(found[index]), params.max_iou) for index in range(len(images))]


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Matrix products in `dtype`, operations that need it in float32. The weights keep their type."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
