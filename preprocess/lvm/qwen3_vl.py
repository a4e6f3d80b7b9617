"""`qwen3_vl`: Qwen3-VL by transformers (4.57 or later), a captioner of long captions with many phrases.

It sees an image in its own shape and resolution, so no image is cut into tiles. It is asked twice: for a
caption, then for the places of the things that the caption names, as a JSON list. A box `bbox_2d` is
[x1, y1, x2, y2] in thousandths of the image's width and height. So the authors' notebook on 2D grounding says
(quoted in QwenLM/Qwen3-VL, issue 1741); Qwen2.5-VL wrote pixels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

import numpy as np
import torch
from PIL import Image
from transformers import Qwen3VLForConditionalGeneration

from lass3d_core.records import GroundedPhrase, ImageCaption
from preprocess.lvm.device import Halving, pick_device, pick_dtype
from preprocess.lvm.params import Qwen3VlParams
from preprocess.lvm.pretrained import load_pretrained
from preprocess.lvm.tiles import sorted_box, without_tail
from preprocess.lvm.weights import local_path

NAME = "qwen3_vl"
FULL = 1000.0
"""The place of the image's right and lower border."""

QUESTIONS = {
    "brief": "Describe this image in one sentence.",
    "detailed": "Describe this image in two or three sentences. Name all things in it.",
}
# Decision: a second question, so that a broken list cannot harm the caption.
GROUND = (
    "This is the caption of the image: {caption}\n"
    "Locate every thing that the caption names. Answer with a JSON list alone, with an entry for each thing: "
    '[{{"bbox_2d": [x1, y1, x2, y2], "label": "the words of the caption for it"}}]'
)

_GREEDY = {"do_sample": False, "num_beams": 1, "temperature": None, "top_p": None, "top_k": None}


class Qwen3VlCaptioner:
    """An `ImageCaptioner`: greedy decoding, one caption per image, phrases grounded in a second call."""

    def __init__(self, params: Qwen3VlParams) -> None:
        """Load the model. Raises BackendUnavailable, CorruptArtifact, DataError."""
        self.params = params
        self._device = pick_device(params.run.device)
        self._in_batches = Halving(NAME, params.run.batch)
        self._processor, model = load_pretrained(
            Qwen3VLForConditionalGeneration,
            local_path(params.weights, params.revision, NAME),
            NAME,
            dtype=pick_dtype(params.dtype, self._device),
        )
        # Images of different sizes have different numbers of tokens. An answer follows the last token of its
        # row, so the padding stands in front.
        self._processor.tokenizer.padding_side = "left"
        self._model = model.to(self._device)

    def caption(self, images: Sequence[np.ndarray]) -> list[ImageCaption]:
        """One caption per image (H,W,3) uint8 RGB; boxes in its pixels, to a 1000th of its sides."""
        return self._in_batches(self._captions, list(images))

    def _captions(self, images: Sequence[np.ndarray]) -> list[ImageCaption]:
        pil_images, question = [Image.fromarray(image) for image in images], QUESTIONS[self.params.prompt]
        told = self._answers(pil_images, [question] * len(images), self.params.max_new_tokens)
        texts = [" ".join((text if ended else without_tail(text)).split()) for text, ended in told]
        asked = [GROUND.format(caption=text) for text in texts]
        lists = self._answers(pil_images, asked, self.params.max_box_tokens)
        return [
            ImageCaption(text, read_boxes(answer, image.shape[:2]), raw=f"{text}\n{answer}")
            for text, (answer, _), image in zip(texts, lists, images)
        ]

    def _answers(self, images: list[Image.Image], questions: list[str], most: int) -> list[tuple[str, bool]]:
        """For each image the answer to its question, and whether it ended before `most` tokens."""
        inputs = self._processor(
            text=[self._turn(question) for question in questions],
            images=images,
            return_tensors="pt",
            padding=True,
        ).to(self._device)
        tokens = self._model.generate(**inputs, **_GREEDY, max_new_tokens=most)
        written = tokens[:, inputs["input_ids"].shape[1] :]
        ends = torch.tensor(self._model.generation_config.eos_token_id, device=written.device).reshape(-1)
        ended = torch.isin(written, ends).any(dim=1).tolist()
        texts = self._processor.batch_decode(written, skip_special_tokens=True)
        return [(text.strip(), end) for text, end in zip(texts, ended)]

    def _turn(self, question: str) -> str:
        """A user's turn with an image and a question, in the form that the checkpoint was trained on."""
        content = [{"type": "image"}, {"type": "text", "text": question}]
        turn: str = self._processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        return turn


def read_boxes(answer: str, size_hw: tuple[int, int]) -> tuple[GroundedPhrase, ...]:
    """The phrases with a box in an answer, in pixels of an image of size_hw, in its order.

    Every whole entry counts, wherever it stands: the list may be cut off, stand in a code fence, or have a
    broken entry. Left out are entries without a label or without four numbers, boxes that are empty inside
    of the image, and repeated entries, which a loop in the decoding writes.
    """
    height, width = size_hw
    found = []
    for entry in _entries(answer):
        label, box = entry.get("label"), entry.get("bbox_2d")
        if not isinstance(label, str) or not (phrase := " ".join(label.split())) or not _is_box(box):
            continue
        x1, y1, x2, y2 = sorted_box(*(float(min(max(place, 0), FULL)) for place in box))
        if x1 < x2 and y1 < y2:
            scaled = x1 * width / FULL, y1 * height / FULL, x2 * width / FULL, y2 * height / FULL
            found.append(GroundedPhrase(phrase, scaled))
    return tuple(dict.fromkeys(found))


def _entries(answer: str) -> Iterator[dict[str, Any]]:
    """The whole JSON objects of an answer that hold a box, also inside of others."""
    decoder, start = json.JSONDecoder(), 0
    while (start := answer.find("{", start)) >= 0:
        try:
            value, start = decoder.raw_decode(answer, start)
        except (ValueError, RecursionError):
            start += 1  # it is cut off or broken; one inside may be whole
            continue
        yield from _with_boxes(value)


def _with_boxes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict) and "bbox_2d" in value:
        yield value
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _with_boxes(inner)


def _is_box(value: Any) -> TypeGuard[list[float]]:
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(place, (int, float)) and not isinstance(place, bool) for place in value)
        and all(abs(place) < math.inf for place in value)  # json reads NaN and Infinity
    )
