"""`hf_grounded_sam`: Grounding DINO and SAM or SAM 2 from transformers; no other package is needed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image

from lass3d_core.errors import DataError
from preprocess.lvm.box_search import BOXES_AT_ONCE, Answer, GroundedDetector, autocast
from preprocess.lvm.device import Halving, pick_device, pick_dtype
from preprocess.lvm.load_errors import loading
from preprocess.lvm.params import HfGroundedSamParams
from preprocess.lvm.pretrained import load_pretrained
from preprocess.lvm.weights import local_path

DINO, SAM = "Grounding DINO (transformers)", "SAM (transformers)"

# The tokens between phrases. Their numbers stand in transformers' code of the model.
_SEPARATORS = {"[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}

_SAM = (transformers.SamModel, transformers.SamProcessor, ("original_sizes", "reshaped_input_sizes"))
_SAM2 = (transformers.Sam2Model, transformers.Sam2Processor, ("original_sizes",))
# SAM 2 is published as a part of its video model.
_SAM_OF = {"sam": _SAM, "sam2": _SAM2, "sam2_video": _SAM2}
"""Model type -> model, processor, and the processor's outputs that `post_process_masks` needs."""


class HfGroundedSamDetector(GroundedDetector):
    """An `EntityDetector` that loads both models once."""

    def __init__(self, params: HfGroundedSamParams) -> None:
        """Load the models. Raises BackendUnavailable, CorruptArtifact, DataError."""
        device = pick_device(params.run.device)
        dtype = pick_dtype(params.dtype, device)
        dino, sam = params.dino, params.sam
        boxes = HfGroundingDino(local_path(dino.weights, dino.revision, DINO), device, dtype)
        masks = HfSegmentAnything(local_path(sam.weights, sam.revision, SAM), device, dtype)
        super().__init__(DINO, boxes, masks, params)


class HfGroundingDino:
    """A `BoxModel`."""

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        kind = transformers.GroundingDinoForObjectDetection
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


class HfSegmentAnything:
    """A `MaskModel`: SAM or SAM 2."""

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
        """See `MaskModel`. The image is encoded once; masks are decoded in float32."""
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
