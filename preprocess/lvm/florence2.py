"""`florence2`: Florence-2 by transformers (4.56 or later), a smaller captioner than KOSMOS-2.

It is asked twice per tile: for a caption, then for the places of the caption's phrases.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from transformers import Florence2ForConditionalGeneration

from lass3d_core.records import GroundedPhrase, ImageCaption
from preprocess.lvm.device import Halving, pick_device, pick_dtype
from preprocess.lvm.params import Florence2Params
from preprocess.lvm.pretrained import load_pretrained
from preprocess.lvm.tiles import captioned, sorted_box, without_tail
from preprocess.lvm.weights import local_path

NAME = "florence2"
TASKS = {"caption": "<CAPTION>", "detailed": "<DETAILED_CAPTION>", "more_detailed": "<MORE_DETAILED_CAPTION>"}
GROUND = "<CAPTION_TO_PHRASE_GROUNDING>"

_FRAME = re.compile(r"</?s>|<pad>")


class Florence2Captioner:
    """An `ImageCaptioner`: greedy decoding, one caption per tile, phrases grounded in a second call."""

    def __init__(self, params: Florence2Params) -> None:
        """Load the model. Raises BackendUnavailable, CorruptArtifact, DataError."""
        self.params = params
        self._device = pick_device(params.run.device)
        self._dtype = pick_dtype(params.dtype, self._device)
        self._in_batches = Halving(NAME, params.run.batch)
        self._processor, model = load_pretrained(
            Florence2ForConditionalGeneration,
            local_path(params.weights, params.revision, NAME),
            NAME,
            dtype=self._dtype,
        )
        self._model = model.to(self._device)

    def caption(self, images: Sequence[np.ndarray]) -> list[ImageCaption]:
        """One caption per image (H,W,3) uint8 RGB; boxes in its pixels, to a 1000th of a tile."""
        return captioned(images, self.params.tiles, lambda tiles: self._in_batches(self._captions, tiles))

    def _captions(self, tiles: Sequence[np.ndarray]) -> list[ImageCaption]:
        """One caption per tile (H,W,3), all in one batch."""
        pil_images = [Image.fromarray(tile) for tile in tiles]
        texts = self._described(pil_images)
        grounded = self._answered(pil_images, [f"{GROUND}{text}" for text in texts])
        answers = self._decoded(grounded, markup=True)
        return [
            ImageCaption(text, self._phrases(answer, (tile.shape[1], tile.shape[0])), raw=f"{text}\n{answer}")
            for text, answer, tile in zip(texts, answers, tiles)
        ]

    def _described(self, pil_images: list[Image.Image]) -> list[str]:
        """A caption per image, in whole sentences."""
        tokens = self._answered(pil_images, [TASKS[self.params.task]] * len(pil_images))
        # The decoder starts with the end token, and must write another one at max_new_tokens.
        written = tokens[:, 1 : self.params.max_new_tokens]
        ended = (written == self._processor.tokenizer.eos_token_id).any(dim=1).tolist()
        texts = self._decoded(tokens, markup=False)
        return [text if whole else without_tail(text) for text, whole in zip(texts, ended)]

    def _answered(self, pil_images: list[Image.Image], questions: list[str]) -> torch.Tensor:
        """The tokens (B,T) of the answers. Shorter questions are padded; the encoder masks the padding."""
        inputs = self._processor(text=questions, images=pil_images, return_tensors="pt", padding=True)
        inputs, most = inputs.to(self._device, self._dtype), self.params.max_new_tokens
        return self._model.generate(**inputs, do_sample=False, num_beams=1, max_new_tokens=most)

    def _decoded(self, tokens: torch.Tensor, markup: bool) -> list[str]:
        """The texts without start, end and padding. markup: whether places such as <loc_499> stay."""
        texts = self._processor.batch_decode(tokens, skip_special_tokens=not markup)
        return [_FRAME.sub("", text).strip() for text in texts]

    def _phrases(self, answer: str, size_wh: tuple[int, int]) -> tuple[GroundedPhrase, ...]:
        """The phrases of an answer with boxes in pixels of the tile; a box that was cut off is left out."""
        found = self._processor.post_process_generation(answer, task=GROUND, image_size=size_wh)[GROUND]
        return tuple(
            GroundedPhrase(phrase, sorted_box(*map(float, box)))
            for phrase, box in zip(found["labels"], found["bboxes"])
        )
