"""CLIP ViT-B/16 of open_clip: 150 million parameters at full size, 63 million of them in the text encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file

from benchmarks.random_models import Size

SMALL = {
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 3},
    "vision_cfg": {"image_size": 224, "layers": 1, "width": 64, "patch_size": 16},
}


def write_clip(folder: Path, size: Size) -> int:
    """Write the model as a local folder of open_clip. Returns the number of parameters."""
    config: dict[str, Any] = {**open_clip.get_model_config("ViT-B-16"), "quick_gelu": True}  # as OpenAI's
    if size == "small":
        config |= SMALL
    preprocess = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}
    folder.mkdir(parents=True)
    content = json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    (folder / "open_clip_config.json").write_text(content, encoding="utf-8")
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", pretrained=None)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return sum(parameter.numel() for parameter in model.parameters())
