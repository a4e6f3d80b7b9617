"""`grounded_sam`: the paper's entity detector, from groundingdino-py and segment-anything.

Grounding DINO finds boxes for the phrases, Segment Anything masks the thing in each box.
Matrix products run in the chosen `dtype`; masks are decoded in float32.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import groundingdino
import numpy as np
import torch
from groundingdino.datasets import transforms
from groundingdino.models import build_model
from groundingdino.util.misc import clean_state_dict
from groundingdino.util.slconfig import SLConfig
from PIL import Image
from segment_anything import SamPredictor, sam_model_registry

from lass3d_core.errors import BackendUnavailable
from preprocess.lvm.box_search import BOXES_AT_ONCE, Answer, BoxSearch, GroundedDetector, autocast
from preprocess.lvm.device import Halving, pick_device, pick_dtype
from preprocess.lvm.grounding_bert import phrase_bert
from preprocess.lvm.load_errors import check_keys, loading
from preprocess.lvm.params import GroundedSamParams, GroundingDinoParams, SegmentAnythingParams
from preprocess.lvm.pretrained import hushed
from preprocess.lvm.weights import local_path

DINO, SAM = "Grounding DINO", "Segment Anything"

_CONFIGS = {"SwinT": "GroundingDINO_SwinT_OGC.py", "SwinB": "GroundingDINO_SwinB_cfg.py"}
_ONLY_FOR_TRAINING = {"label_enc.weight"}
_NO_LONGER_KEPT = {"bert.embeddings.position_ids"}  # 0, 1, 2, ...: old versions of transformers stored it
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as the checkpoints were trained


class GroundedSamDetector(GroundedDetector):
    """An `EntityDetector` that loads both models once."""

    def __init__(self, params: GroundedSamParams) -> None:
        """Load the models. Raises BackendUnavailable, CorruptArtifact, DataError."""
        device = pick_device(params.run.device)
        dtype = pick_dtype(params.dtype, device)
        boxes = GroundingDino(load_dino(params).to(device), params.dino, dtype)
        masks = SegmentAnything(load_sam(params.sam).to(device), dtype)
        super().__init__(BoxSearch(DINO, boxes, params), masks)


class GroundingDino:
    """A `BoxModel`."""

    def __init__(self, model: Any, params: GroundingDinoParams, dtype: torch.dtype) -> None:
        self.model = model
        self.window: int = model.max_text_len
        self._params, self._dtype = params, dtype
        self._device = next(model.parameters()).device

    def token_count(self, text: str) -> int:
        return len(self.model.tokenizer(text, add_special_tokens=False)["input_ids"])

    def ask(self, images: Sequence[np.ndarray], prompts: Sequence[str]) -> list[Answer]:
        samples = torch.stack([self._scaled(image) for image in images]).to(self._device)
        with autocast(self._device, self._dtype):
            answer = self.model(samples, captions=list(prompts))
        logits, boxes = (answer[key].float().cpu().numpy() for key in ("pred_logits", "pred_boxes"))
        return list(zip(logits, boxes))

    def _scaled(self, image: np.ndarray) -> torch.Tensor:
        """An image (H,W,3) uint8 as the model's input: (3,h,w) float32, scaled and normalised."""
        short_side, long_side = self._params.short_side, self._params.long_side
        scaled, _ = transforms.resize(Image.fromarray(image), None, short_side, long_side)
        values = torch.from_numpy(np.array(scaled, np.float32) / 255).permute(2, 0, 1)
        return (values - torch.tensor(_MEAN)[:, None, None]) / torch.tensor(_STD)[:, None, None]


class SegmentAnything:
    """A `MaskModel`."""

    def __init__(self, model: torch.nn.Module, dtype: torch.dtype) -> None:
        self._predictor = SamPredictor(model)
        self._dtype = dtype
        self._in_batches = Halving(SAM, BOXES_AT_ONCE)

    def masks(self, image: np.ndarray, boxes_xyxy: np.ndarray) -> list[np.ndarray]:
        """See `MaskModel`. The image is encoded once; masks are decoded in float32."""
        if len(boxes_xyxy) == 0:
            return []
        with autocast(self._predictor.device, self._dtype):
            self._predictor.set_image(image)
        self._predictor.features = self._predictor.features.float()
        boxes = torch.from_numpy(boxes_xyxy).to(self._predictor.device)
        scaled = self._predictor.transform.apply_boxes_torch(boxes, image.shape[:2])
        return self._in_batches(self._decoded, scaled)

    def _decoded(self, boxes: torch.Tensor) -> list[np.ndarray]:
        masks, _, _ = self._predictor.predict_torch(None, None, boxes=boxes, multimask_output=False)
        return list(masks[:, 0].cpu().numpy())


def load_dino(params: GroundedSamParams) -> torch.nn.Module:
    """Load Grounding DINO on the CPU. Raises BackendUnavailable, CorruptArtifact, DataError."""
    text_encoder = local_path(params.text_encoder.weights, params.text_encoder.revision, DINO)
    weights = local_path(params.dino.weights, params.dino.revision, DINO)
    config = _config_file(params.dino.config)
    with loading(DINO, f"the configuration {config}"):
        settings = SLConfig.fromfile(str(config))
    settings.text_encoder_type = str(text_encoder)
    # Gradient checkpointing saves memory in training only.
    settings.use_checkpoint = settings.use_transformer_ckpt = False
    with loading(DINO, text_encoder), hushed(), contextlib.redirect_stdout(io.StringIO()), phrase_bert():
        model = build_model(settings)
    with loading(DINO, weights):
        content = torch.load(weights, map_location="cpu", weights_only=True)
        state = clean_state_dict(content.get("model", content))
        missing, unexpected = model.load_state_dict(state, strict=False)
    check_keys(DINO, weights, missing, set(unexpected) - _ONLY_FOR_TRAINING - _NO_LONGER_KEPT)
    for layer in model.transformer.encoder.text_layers:
        layer.register_forward_pre_hook(_mask_per_image_and_head, with_kwargs=True)
    return model.eval()


def load_sam(params: SegmentAnythingParams) -> torch.nn.Module:
    """Load Segment Anything on the CPU. Raises BackendUnavailable, CorruptArtifact, DataError."""
    weights = local_path(params.weights, params.revision, SAM)
    model = sam_model_registry[params.size]()
    with loading(SAM, weights):
        model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return model.eval()


def _config_file(name: str) -> Path:
    """The package's configuration `name`, or the file of that path. Raises BackendUnavailable."""
    if name in _CONFIGS:
        return Path(groundingdino.__file__).parent / "config" / _CONFIGS[name]
    if not Path(name).is_file():
        raise BackendUnavailable(
            f"{DINO}: there is no configuration {name}; set dino.config to {', '.join(_CONFIGS)} or a file"
        )
    return Path(name)


def _mask_per_image_and_head(layer: Any, inputs: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Repeat the text mask (B,T,T) to (B·heads,T,T), one image after the other, as attention expects it."""
    # The layer repeats one head after the other. In a batch, images would get the masks of other prompts.
    return inputs, {**named, "src_mask": named["src_mask"].repeat_interleave(layer.nhead, dim=0)}
