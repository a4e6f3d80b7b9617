"""`sam3`: SAM 3 from transformers finds and masks every thing of a phrase in one model.

An image is encoded once. Then each phrase takes a pass of the decoder, and phrases share a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers
from PIL import Image

from lass3d_core.errors import BackendUnavailable
from lass3d_core.files.masks import encode
from lass3d_core.records import Entity
from preprocess.lvm.box_search import BOXES_AT_ONCE, autocast
from preprocess.lvm.device import Halving, pick_device, pick_dtype
from preprocess.lvm.params import Sam3Params
from preprocess.lvm.phrase_scores import NamedBoxes, concatenate, lone_phrases, remaining
from preprocess.lvm.pretrained import load_pretrained
from preprocess.lvm.weights import local_path

NAME = "SAM 3"

_TYPES = ("sam3", "sam3_video")  # it is published as a part of its video model
_MASKED = 0.5  # a pixel is of a thing if it is likelier than not


class _Found(NamedTuple):
    """What a phrase finds. masks (B,h,w) float32: probabilities at the size of the model."""

    boxes: NamedBoxes
    masks: torch.Tensor


class Sam3Detector:
    """An `EntityDetector` that loads the model once. Matrix products run in the chosen `dtype`."""

    def __init__(self, params: Sam3Params) -> None:
        """Load the model. Raises BackendUnavailable (or transformers 4), CorruptArtifact, DataError."""
        if int(transformers.__version__.split(".")[0]) < 5:
            raise BackendUnavailable(
                f"{NAME}: it needs transformers 5 or newer, and this is {transformers.__version__}; "
                "upgrade it, or name another detector in the manifest"
            )
        self.params = params
        self._device = pick_device(params.run.device)
        self._dtype = pick_dtype(params.dtype, self._device)
        folder = local_path(params.weights, params.revision, NAME)
        self._processor, model = load_pretrained(
            transformers.Sam3Model, folder, NAME, transformers.Sam3Processor, types=_TYPES
        )
        self._model = model.to(self._device)
        self._window: int = model.config.text_config.max_position_embeddings
        self._in_batches = Halving(NAME, params.run.batch)
        self._in_mask_batches = Halving(f"{NAME}'s masks", BOXES_AT_ONCE)

    def detect(
        self, images: Sequence[np.ndarray], vocabularies: Sequence[Sequence[str]]
    ) -> list[list[Entity]]:
        """Per image, the entities with a score of `box_floor` or more, the best first.

        A phrase of the image's vocabulary names each. Raises DataError for a phrase longer than the window.
        """
        return [self._detect_one(*pair) for pair in zip(images, vocabularies, strict=True)]

    @torch.inference_mode()
    def _detect_one(self, image: np.ndarray, vocabulary: Sequence[str]) -> list[Entity]:
        asked = lone_phrases(vocabulary, self._token_count, self._window)
        if not asked:
            return []
        seen = self._encoded(image)
        size_hw = (image.shape[0], image.shape[1])

        def ask(some: Sequence[tuple[str, str]]) -> list[_Found]:
            return self._found(seen, some, size_hw)

        found = self._in_batches(ask, list(asked.items()))
        boxes = concatenate([one.boxes for one in found])
        kept = remaining(boxes, self.params.max_iou)
        masks = self._in_mask_batches(
            lambda some: _binary(some, size_hw), torch.cat([one.masks for one in found])[kept]
        )
        return [
            Entity(boxes.phrases[i], float(boxes.scores[i]), tuple(boxes.xyxy[i].tolist()), encode(mask))
            for i, mask in zip(kept, masks, strict=True)
            if mask.any()
        ]

    def _encoded(self, image: np.ndarray) -> Any:
        inputs = self._processor(images=Image.fromarray(image), return_tensors="pt")
        with autocast(self._device, self._dtype):
            return self._model.get_vision_features(inputs["pixel_values"].to(self._device))

    def _found(self, seen: Any, asked: Sequence[tuple[str, str]], size_hw: tuple[int, int]) -> list[_Found]:
        """What each phrase finds in the encoded image `seen`. asked: phrases and their texts."""
        tokens = self._processor(text=[text for _, text in asked], return_tensors="pt").to(self._device)
        with autocast(self._device, self._dtype):
            answer = self._model(
                vision_embeds=_repeated(seen, len(asked)),
                input_ids=tokens["input_ids"],
                attention_mask=tokens["attention_mask"],
            )
        # A thing's score is: this query is such a thing, times: there is such a thing at all.
        scores = answer.pred_logits.float().sigmoid() * answer.presence_logits.float().sigmoid()
        height, width = size_hw
        size = torch.tensor([width, height, width, height], device=self._device)
        xyxy = (answer.pred_boxes.float() * size).clamp(min=torch.zeros_like(size), max=size)
        good = (scores >= self.params.box_floor) & (xyxy[..., 2:] > xyxy[..., :2]).all(dim=-1)
        return [
            _Found(
                NamedBoxes(
                    xyxy[row, kept].cpu().numpy(),
                    scores[row, kept].cpu().numpy(),
                    (phrase,) * int(kept.sum()),
                ),
                answer.pred_masks[row, kept].float().sigmoid(),
            )
            for row, ((phrase, _), kept) in enumerate(zip(asked, good))
        ]

    def _token_count(self, text: str) -> int:
        return len(self._processor.tokenizer(text, add_special_tokens=False)["input_ids"])


def _repeated(seen: Any, count: int) -> Any:
    """The encoded image once per phrase, as views of one memory."""

    def views(levels: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return tuple(level.expand(count, *level.shape[1:]) for level in levels)

    return type(seen)(
        fpn_hidden_states=views(seen.fpn_hidden_states),
        fpn_position_encoding=views(seen.fpn_position_encoding),
    )


def _binary(masks: torch.Tensor, size_hw: tuple[int, int]) -> list[np.ndarray]:
    """Masks (B,h,w) of probabilities as masks (H,W) bool of the image's size."""
    scaled = torch.nn.functional.interpolate(masks[:, None], size_hw, mode="bilinear", align_corners=False)
    return list((scaled[:, 0] > _MASKED).cpu().numpy())
