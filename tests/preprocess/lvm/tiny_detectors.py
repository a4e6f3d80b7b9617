"""Fixtures: tiny detectors of random weights, saved by transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

PROMPT_ENCODER = {"hidden_size": 32, "image_size": 64, "patch_size": 16, "mask_input_channels": 16}
MASK_DECODER = {
    "hidden_size": 32,
    "mlp_dim": 64,
    "num_attention_heads": 4,
    "iou_head_hidden_dim": 32,
    "num_hidden_layers": 2,
}
SAM_IMAGE_ENCODER = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 64,
    "patch_size": 16,
    "output_channels": 32,
    "mlp_dim": 64,
    "global_attn_indexes": [1],
    "window_size": 2,
    "num_pos_feats": 16,
}
CLIP_TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture(scope="session")
def tiny_hf_dino(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """A folder with transformers' Grounding DINO."""
    import transformers

    folder = tmp_path_factory.mktemp("hf_dino")
    shape = transformers.GroundingDinoConfig(**_dino_shape(tiny_bert), max_text_len=256)
    return _write_dino(folder, transformers.GroundingDinoForObjectDetection, shape, tiny_bert)


@pytest.fixture(scope="session")
def tiny_mm_dino(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """A folder with transformers' MM-Grounding-DINO."""
    import transformers

    folder = tmp_path_factory.mktemp("mm_dino")
    shape = transformers.MMGroundingDinoConfig(**_dino_shape(tiny_bert), max_text_len=256)
    return _write_dino(folder, transformers.MMGroundingDinoForObjectDetection, shape, tiny_bert)


def _dino_shape(bert: Path) -> dict[str, Any]:
    from transformers import BertConfig, SwinConfig

    image_encoder = SwinConfig(
        image_size=64,
        embed_dim=12,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=7,
        out_indices=[2, 3, 4],
    )
    return {
        "backbone_config": image_encoder,
        "backbone": None,
        "use_pretrained_backbone": False,
        "text_config": BertConfig.from_pretrained(bert).to_dict(),
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "num_queries": 60,
        "init_std": 0.2,
    }


def _write_dino(folder: Path, kind: Any, shape: Any, bert: Path) -> Path:
    import torch
    from transformers import BertTokenizerFast, GroundingDinoImageProcessor, GroundingDinoProcessor

    torch.manual_seed(0)
    model = kind(shape)
    for layer in model.class_embed:
        if hasattr(layer, "bias"):  # of MM-Grounding-DINO; it begins so low that no score reaches a floor
            torch.nn.init.zeros_(layer.bias)
    model.save_pretrained(folder)
    scaling = GroundingDinoImageProcessor(size={"shortest_edge": 96, "longest_edge": 256})
    GroundingDinoProcessor(scaling, BertTokenizerFast.from_pretrained(bert)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_hf_sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with transformers' SAM."""
    import transformers

    folder = tmp_path_factory.mktemp("hf_sam")
    shape = transformers.SamConfig(
        vision_config=SAM_IMAGE_ENCODER,
        prompt_encoder_config={**PROMPT_ENCODER, "image_embedding_size": 4},
        mask_decoder_config=MASK_DECODER,
    )
    return _write_sam(folder, transformers.SamModel, shape, transformers.SamProcessor)


@pytest.fixture(scope="session")
def tiny_sam_hq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with transformers' SAM-HQ."""
    import transformers

    folder = tmp_path_factory.mktemp("sam_hq")
    shape = transformers.SamHQConfig(
        vision_config=SAM_IMAGE_ENCODER,
        prompt_encoder_config={**PROMPT_ENCODER, "image_embedding_size": 4},
        mask_decoder_config={**MASK_DECODER, "vit_dim": 32},
    )
    return _write_sam(folder, transformers.SamHQModel, shape, transformers.SamHQProcessor)


def _write_sam(folder: Path, kind: Any, shape: Any, processor: Any) -> Path:
    import torch
    from transformers import SamImageProcessor

    torch.manual_seed(0)
    kind(shape).save_pretrained(folder)
    scaling = SamImageProcessor(
        size={"longest_edge": 64},
        pad_size={"height": 64, "width": 64},
        mask_size={"longest_edge": 16},
        mask_pad_size={"height": 16, "width": 16},
    )
    processor(scaling).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_hf_sam2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with transformers' SAM 2."""
    import transformers

    folder = tmp_path_factory.mktemp("hf_sam2")
    image_encoder = transformers.Sam2HieraDetConfig(
        hidden_size=8,
        num_attention_heads=1,
        image_size=[64, 64],
        patch_kernel_size=[7, 7],
        patch_stride=[4, 4],
        patch_padding=[3, 3],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 4],
        window_size_per_stage=[8, 4, 8, 4],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[2, 2],
    )
    vision = transformers.Sam2VisionConfig(
        backbone_config=image_encoder,
        backbone_channel_list=[64, 32, 16, 8],
        fpn_hidden_size=32,
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
    )
    shape = transformers.Sam2Config(
        vision_config=vision.to_dict(),
        prompt_encoder_config=PROMPT_ENCODER,
        mask_decoder_config=MASK_DECODER,
    )
    return _write_sam2(folder, transformers.Sam2Model, shape)


@pytest.fixture(scope="session")
def tiny_edgetam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with transformers' EdgeTAM, its image encoder a tiny RepViT of timm."""
    import transformers

    pytest.importorskip("timm", reason="EdgeTAM's image encoder is timm's")
    if transformers.__version__.startswith("4."):
        pytest.skip("before transformers 5, EdgeTAM's configuration asks the hub for another")
    folder = tmp_path_factory.mktemp("edgetam")
    image_encoder = transformers.TimmWrapperConfig(
        architecture="repvit_m0_9",
        model_args={
            "in_chans": 3,
            "features_only": True,
            "out_indices": [0, 1, 2, 3],
            "embed_dim": [8, 16, 24, 32],
            "depth": [1, 1, 1, 1],
        },
    )
    vision = transformers.EdgeTamVisionConfig(
        backbone_config=image_encoder.to_dict(),
        backbone_channel_list=[32, 24, 16, 8],
        fpn_hidden_size=32,
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
    )
    shape = transformers.EdgeTamConfig(
        vision_config=vision.to_dict(),
        prompt_encoder_config=PROMPT_ENCODER,
        mask_decoder_config=MASK_DECODER,
    )
    return _write_sam2(folder, transformers.EdgeTamModel, shape)


def _write_sam2(folder: Path, kind: Any, shape: Any) -> Path:
    import torch
    from transformers import Sam2ImageProcessorFast, Sam2Processor

    torch.manual_seed(0)
    kind(shape).save_pretrained(folder)
    scaling = Sam2ImageProcessorFast(size={"height": 64, "width": 64}, mask_size={"height": 16, "width": 16})
    Sam2Processor(scaling).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_owlv2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with transformers' OWLv2; a letter is a token, so a phrase has 14 letters at most."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("owlv2")
    tokenizer, ends = _letters(folder, window=16)
    vision = {**CLIP_TEXT, "image_size": 64, "patch_size": 8}
    shape = transformers.Owlv2Config(
        text_config={**CLIP_TEXT, **ends, "max_position_embeddings": 16},
        vision_config=vision,
        projection_dim=32,
    )
    torch.manual_seed(0)
    model = transformers.Owlv2ForObjectDetection(shape)
    _stir(model, 0.3)
    model.box_head.dense2.weight.data *= 0.1  # boxes near their patches
    model.save_pretrained(folder)
    scaling = transformers.Owlv2ImageProcessor(size={"height": 64, "width": 64})
    transformers.Owlv2Processor(scaling, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_sam3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with transformers' SAM 3; a letter is a token, so a phrase has 30 letters at most."""
    import torch
    import transformers

    if transformers.__version__.startswith("4."):
        pytest.skip("SAM 3 needs transformers 5")
    folder = tmp_path_factory.mktemp("sam3")
    tokenizer, ends = _letters(folder, window=32)
    image_encoder = transformers.Sam3ViTConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=56,
        patch_size=14,
        window_size=2,
        global_attn_indexes=[1],
        pretrain_image_size=28,
    )
    vision = transformers.Sam3VisionConfig(
        backbone_config=image_encoder.to_dict(),
        fpn_hidden_size=32,
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
    )
    part = {"hidden_size": 32, "num_attention_heads": 4}
    layers = {**part, "num_layers": 1, "intermediate_size": 64}
    shape = transformers.Sam3Config(
        vision_config=vision.to_dict(),
        text_config={**CLIP_TEXT, **ends, "max_position_embeddings": 32, "projection_dim": 32},
        geometry_encoder_config=layers,
        detr_encoder_config=layers,
        detr_decoder_config={**layers, "num_layers": 2, "num_queries": 12},
        mask_decoder_config=part,
    )
    torch.manual_seed(5)
    model = transformers.Sam3Model(shape)
    _stir(model, 0.2)
    # Scores on both sides of the floor.
    model.detr_decoder.presence_head.layer3.bias.data += 3.0
    model.dot_product_scoring.query_proj.weight.data *= 4.0
    model.save_pretrained(folder)
    scaling = transformers.Sam3ImageProcessor(
        size={"height": 56, "width": 56}, mask_size={"height": 16, "width": 16}
    )
    transformers.Sam3Processor(scaling, tokenizer).save_pretrained(folder)
    return folder


def _letters(folder: Path, window: int) -> tuple[Any, dict[str, int]]:
    """A CLIP tokenizer of letters, and its numbers for a text configuration."""
    from transformers import CLIPTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz"
    # Number 0 is the pad token "!", as CLIP's vocabulary has it; OWLv2 fills texts up with it.
    tokens = ["!", *letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizerFast.from_pretrained(folder, model_max_length=window, pad_token="!")
    numbers = {"vocab_size": len(tokens), "bos_token_id": len(tokens) - 2, "eos_token_id": len(tokens) - 1}
    return tokenizer, {**numbers, "pad_token_id": 0}


def _stir(model: Any, std: float) -> None:
    """Random matrices of a size that makes answers depend on image and phrase."""
    import torch

    for name, weight in model.named_parameters():
        if weight.dim() > 1 and "position" not in name:
            torch.nn.init.normal_(weight, std=std)
