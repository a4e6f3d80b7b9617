"""`kosmos2`: the paper's captioner, KOSMOS-2 by transformers.

Three traps in transformers' model raise no error but change the captions:
- With the default attention, `image_to_text_projection` is causal in versions 4.52 to 5.0: each of the 64
  image slots sees only the ones before it. `eager` attention is right in every version.
- From 4.54 on, the padding of left-padded rows is counted in the positions. Here all rows of a batch have
  the same prompt, so none is padded.
- Every image is squashed into a square: see tiles.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from transformers import Kosmos2ForConditionalGeneration

from lass3d_core.records import GroundedPhrase, ImageCaption
from preprocess.lvm.device import Halving, pick_device, pick_dtype
from preprocess.lvm.params import Kosmos2Params
from preprocess.lvm.pretrained import load_pretrained
from preprocess.lvm.tiles import captioned, sorted_box, without_tail
from preprocess.lvm.weights import local_path

NAME = "kosmos2"
GROUNDING = "<grounding>"  # asks for boxes after the noun phrases

INSTRUCTION = "Describe this image in detail:"
PROMPTS = {"brief": f"{GROUNDING} An image of", "detailed": f"{GROUNDING} {INSTRUCTION}"}


class Kosmos2Captioner:
    """An `ImageCaptioner`: greedy decoding, one caption per tile, phrases with boxes."""

    def __init__(self, params: Kosmos2Params) -> None:
        """Load the model. Raises BackendUnavailable, CorruptArtifact, DataError."""
        self.params = params
        self._device = pick_device(params.run.device)
        self._in_batches = Halving(NAME, params.run.batch)
        self._processor, model = load_pretrained(
            Kosmos2ForConditionalGeneration,
            local_path(params.weights, params.revision, NAME),
            NAME,
            dtype=pick_dtype(params.dtype, self._device),
            attn_implementation="eager",
        )
        self._model = model.to(self._device)

    def caption(self, images: Sequence[np.ndarray]) -> list[ImageCaption]:
        """One caption per image (H,W,3) uint8 RGB; boxes in its pixels, to a 32nd of a tile."""
        return captioned(images, self.params.tiles, lambda tiles: self._in_batches(self._captions, tiles))

    def _captions(self, tiles: Sequence[np.ndarray]) -> list[ImageCaption]:
        """One caption per tile (H,W,3), all in one batch."""
        inputs = self._processor(
            text=[PROMPTS[self.params.prompt]] * len(tiles),
            images=[Image.fromarray(tile) for tile in tiles],
            return_tensors="pt",
        ).to(self._device)
        tokens = self._model.generate(
            **inputs, do_sample=False, num_beams=1, max_new_tokens=self.params.max_new_tokens
        )
        ended = (tokens == self._processor.tokenizer.eos_token_id).any(dim=1).tolist()
        answers = self._processor.batch_decode(tokens, skip_special_tokens=True)
        sizes = [tile.shape[:2] for tile in tiles]
        return [read_answer(self._processor, *each) for each in zip(answers, ended, sizes)]


def read_answer(processor: Any, answer: str, ended: bool, size_hw: tuple[int, int]) -> ImageCaption:
    """Read the caption of a tile of size_hw from an answer with markup. ended: before max_new_tokens.

    Decision: an <object> without a phrase names nothing and is left out (transformers names it after its
    patches). So is an object whose box was cut off. A phrase with several boxes is repeated for each box.
    """
    text, grounded = processor.post_process_generation(answer)
    text, (height, width) = text.removeprefix(INSTRUCTION).strip(), size_hw
    phrases = tuple(
        GroundedPhrase(phrase, sorted_box(x1 * width, y1 * height, x2 * width, y2 * height))
        for phrase, _, boxes in grounded
        if not phrase.startswith("<")
        for x1, y1, x2, y2 in boxes
    )
    raw = processor.post_process_generation(answer, cleanup_and_extract=False).strip()
    return ImageCaption(text if ended else without_tail(text), phrases, raw)
