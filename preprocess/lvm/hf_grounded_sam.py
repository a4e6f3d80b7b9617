"""`hf_grounded_sam`: Grounding DINO and SAM or SAM 2 as transformers has them; needs no other package.

The same two steps as `grounded_sam`: boxes for the phrases, then a mask for each box.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import (
    GroundingDinoForObjectDetection,
    GroundingDinoProcessor,
    Sam2Model,
    Sam2Processor,
    SamModel,
    SamProcessor,
)

from lass3d_core.errors import DataError
from lass3d_core.records import Entity
from preprocess.lvm.box_search import BOXES_AT_ONCE, Answer, BoxSearch, autocast, entities_of
from preprocess.lvm.device import Halving, pick_device, pick_dtype
from preprocess.lvm.params import HfGroundedSamParams
from preprocess.lvm.pretrained import load_pretrained
from preprocess.lvm.weights import loading, local_path

DINO, SAM = "Grounding DINO (transformers)", "SAM (transformers)"

_PARTS = {"[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
"""Numbers of the tokens between phrases, which transformers has written into the model's code."""

_SAM = (SamModel, SamProcessor, ("original_sizes", "reshaped_input_sizes"))
_SAM2 = (Sam2Model, Sam2Processor, ("original_sizes",))
_SAM_OF = {"sam": _SAM, "sam2": _SAM2, "sam2_video": _SAM2}  # SAM 2 is published as part of its video model
"""Model, its processor, and the sizes that the latter wants to bring masks back to the image's."""


class HfGroundedSamDetector:
    """An `EntityDetector` that loads both models once."""

    def __init__(self, params: HfGroundedSamParams) -> None:
        """Load the models. Raises BackendUnavailable, CorruptArtifact, DataError."""
        device = pick_device(params.run.device)
        dtype = pick_dtype(params.dtype, device)
        finder = BoxFinder(local_path(params.dino.weights, params.dino.revision, DINO), device, dtype)
        self._search = BoxSearch(
            ask=finder.ask,
            token_count=finder.token_count,
            window=finder.window,
            params=params,
            in_batches=Halving(DINO, params.run.batch),
        )
        self._masker = Masker(local_path(params.sam.weights, params.sam.revision, SAM), device, dtype)

    def detect(
        self, images: Sequence[np.ndarray], vocabularies: Sequence[Sequence[str]]
    ) -> list[list[Entity]]:
        """Per image, an entity per box that scores `box_floor` or more, best first, named by its best phrase.

        Raises DataError for a phrase that is longer than the text encoder's window.
        """
        found = self._search(images, vocabularies)
        return [
            entities_of(boxes, self._masker.masks(image, boxes.xyxy)) for image, boxes in zip(images, found)
        ]


class BoxFinder:
    """Grounding DINO on images of one size."""

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        self._processor, model = load_pretrained(
            GroundingDinoForObjectDetection, folder, DINO, GroundingDinoProcessor
        )
        self._check_tokens(folder)
        self._model = model.to(device)
        self._device, self._dtype = device, dtype
        self.window = model.config.max_text_len

    def token_count(self, text: str) -> int:
        """Tokens of `text`, without the start and end tokens."""
        return len(self._processor.tokenizer(text, add_special_tokens=False)["input_ids"])

    def ask(self, images: Sequence[np.ndarray], prompts: Sequence[str]) -> list[Answer]:
        """A `box_search.Ask`."""
        pictures = [Image.fromarray(image) for image in images]
        inputs = self._processor(images=pictures, text=list(prompts), padding=True, return_tensors="pt")
        with autocast(self._device, self._dtype):
            answer = self._model(**inputs.to(self._device))
        return list(zip(*(part.float().cpu().numpy() for part in (answer.logits, answer.pred_boxes))))

    def _check_tokens(self, folder: Path) -> None:
        """Refuse a tokenizer with which the model would not know where a phrase ends. Raises DataError."""
        numbers = dict(zip(_PARTS, self._processor.tokenizer.convert_tokens_to_ids(list(_PARTS))))
        if numbers != _PARTS:
            raise DataError(
                f"{DINO}: the tokenizer in {folder} numbers its tokens as {numbers}, the model as {_PARTS}; "
                "name weights with the vocabulary of bert-base-uncased"
            )


class Masker:
    """SAM or SAM 2 on one image and any number of boxes."""

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        with loading(SAM, folder):
            kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
        if kind not in _SAM_OF:
            raise DataError(f"{SAM}: {folder} holds a model {kind!r}; name one of {', '.join(_SAM_OF)}")
        model_kind, processor_kind, self._sizes = _SAM_OF[kind]
        self._processor, model = load_pretrained(model_kind, folder, SAM, processor_kind)
        self._model = model.to(device)
        self._device, self._dtype = device, dtype
        self._in_batches = Halving(SAM, BOXES_AT_ONCE)

    @torch.inference_mode()
    def masks(self, image: np.ndarray, boxes_xyxy: np.ndarray) -> list[np.ndarray]:
        """(H,W) bool for each of boxes_xyxy (B,4) in pixels of `image` (H,W,3) uint8; B may be 0.

        The image is encoded once, where there is a box; masks are decoded in float32.
        """
        if len(boxes_xyxy) == 0:
            return []
        inputs = self._processor(
            images=Image.fromarray(image), input_boxes=[boxes_xyxy.tolist()], return_tensors="pt"
        )
        with autocast(self._device, self._dtype):
            seen = self._model.get_image_embeddings(inputs["pixel_values"].to(self._device))
        encoded = [level.float() for level in seen] if isinstance(seen, list) else seen.float()
        sizes = [inputs[name] for name in self._sizes]

        def decoded(boxes: torch.Tensor) -> list[np.ndarray]:
            answer = self._model(image_embeddings=encoded, input_boxes=boxes[None], multimask_output=False)
            (masks,) = self._processor.post_process_masks(answer.pred_masks.cpu(), *sizes)
            return list(masks[:, 0].numpy())

        return self._in_batches(decoded, inputs["input_boxes"][0].float().to(self._device))
