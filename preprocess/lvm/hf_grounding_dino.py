"""Grounding DINO from transformers, and the models that kept its form: MM-Grounding-DINO and LLMDet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image

from lass3d_core.errors import DataError
from preprocess.lvm.box_search import Answer, autocast
from preprocess.lvm.pretrained import choose, load_pretrained

DINO = "Grounding DINO (transformers)"

# The tokens between phrases. Their numbers stand in transformers' code of the models.
_SEPARATORS = {"[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}

_DINO_OF = {
    "grounding-dino": transformers.GroundingDinoForObjectDetection,
    "mm-grounding-dino": transformers.MMGroundingDinoForObjectDetection,  # LLMDet calls itself so too
}
"""Model type -> model."""


class HfGroundingDino:
    """A `BoxModel`."""

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        kind = choose(_DINO_OF, folder, DINO)
        self._processor, model = load_pretrained(kind, folder, DINO, transformers.GroundingDinoProcessor)
        self._check_tokens(folder)
        self._model = model.to(device)
        self._device, self._dtype = device, dtype
        self.window: int = model.config.max_text_len

    def token_count(self, text: str) -> int:
        return len(self._processor.tokenizer(text, add_special_tokens=False)["input_ids"])

    def ask(self, images: Sequence[np.ndarray], prompts: Sequence[str]) -> list[Answer]:
        pil_images = [Image.fromarray(image) for image in images]
        inputs = self._processor(images=pil_images, text=list(prompts), padding=True, return_tensors="pt")
        with autocast(self._device, self._dtype):
            answer = self._model(**inputs.to(self._device))
        return list(zip(*(part.float().cpu().numpy() for part in (answer.logits, answer.pred_boxes))))

    def _check_tokens(self, folder: Path) -> None:
        """Refuse a tokenizer with which the model would not find the ends of phrases. Raises DataError."""
        numbers = dict(zip(_SEPARATORS, self._processor.tokenizer.convert_tokens_to_ids(list(_SEPARATORS))))
        if numbers != _SEPARATORS:
            raise DataError(
                f"{DINO}: the tokenizer in {folder} numbers its tokens as {numbers}, the model as "
                f"{_SEPARATORS}; name weights with the vocabulary of bert-base-uncased"
            )
