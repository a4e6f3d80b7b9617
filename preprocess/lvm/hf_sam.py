"""The mask models of transformers: SAM, SAM-HQ, SAM 2, SAM 2.1 and EdgeTAM."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers
from PIL import Image

from preprocess.lvm.box_search import BOXES_AT_ONCE, autocast
from preprocess.lvm.device import Halving
from preprocess.lvm.pretrained import choose, load_pretrained

SAM = "SAM (transformers)"


class _Family(NamedTuple):
    """Classes of transformers. sizes: the processor's outputs that `post_process_masks` needs."""

    model: Any
    processor: Any
    sizes: tuple[str, ...]


_PADDED, _SQUASHED = ("original_sizes", "reshaped_input_sizes"), ("original_sizes",)
_SAM = _Family(transformers.SamModel, transformers.SamProcessor, _PADDED)
_SAM_HQ = _Family(transformers.SamHQModel, transformers.SamHQProcessor, _PADDED)
_SAM2 = _Family(transformers.Sam2Model, transformers.Sam2Processor, _SQUASHED)
_EDGETAM = _Family(transformers.EdgeTamModel, transformers.Sam2Processor, _SQUASHED)
# SAM 2, SAM 2.1 and EdgeTAM are published as parts of their video models.
_SAM_OF = {
    "sam": _SAM,
    "sam_hq": _SAM_HQ,
    "sam2": _SAM2,
    "sam2_video": _SAM2,
    "edgetam": _EDGETAM,
    "edgetam_video": _EDGETAM,
}
"""Model type -> classes."""


class HfSegmentAnything:
    """A `MaskModel`."""

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        family = choose(_SAM_OF, folder, SAM)
        self._processor, model = load_pretrained(family.model, folder, SAM, family.processor, types=_SAM_OF)
        self._sizes = family.sizes
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
        encoded = self._encoded(inputs["pixel_values"].to(self._device))
        sizes = [inputs[name] for name in self._sizes]

        def decoded(boxes: torch.Tensor) -> list[np.ndarray]:
            answer = self._model(input_boxes=boxes[None], multimask_output=False, **encoded)
            (masks,) = self._processor.post_process_masks(answer.pred_masks.cpu(), *sizes)
            return list(masks[:, 0].numpy())

        return self._in_batches(decoded, inputs["input_boxes"][0].float().to(self._device))

    def _encoded(self, pixels: torch.Tensor) -> dict[str, Any]:
        """The image as the mask decoder takes it, float32."""
        with autocast(self._device, self._dtype):
            seen = self._model.get_image_embeddings(pixels)
        if isinstance(seen, tuple):  # SAM-HQ decodes from its inner layers too
            last, inner = seen
            return {
                "image_embeddings": last.float(),
                "intermediate_embeddings": [one.float() for one in inner],
            }
        return {"image_embeddings": [one.float() for one in seen] if isinstance(seen, list) else seen.float()}
