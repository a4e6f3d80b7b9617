"""GroundedSAM: Grounding DINO Swin-T with BERT-base (173 million parameters at full size), SAM ViT-B (94)."""

from __future__ import annotations

import contextlib
import io
from functools import partial
from pathlib import Path
from typing import Any

import groundingdino
import torch
from groundingdino.models import build_model
from groundingdino.util.slconfig import SLConfig
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from transformers import BertConfig, BertModel, BertTokenizerFast

from benchmarks.random_models import PHRASES, Size
from preprocess.lvm.grounding_bert import phrase_bert

SPECIAL = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
WORDS_FROM = 2000
SMALL_BERT = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
SMALL_DINO = {"enc_layers": 2, "dec_layers": 2, "dim_feedforward": 512, "num_queries": 300}
SMALL_SCALE = {"short_side": 160, "long_side": 320}
SMALL_SAM: dict[str, Any] = {
    "depth": 2,
    "embed_dim": 192,
    "num_heads": 3,
    "global_attn_indexes": (1,),
    "img_size": 256,
}


def write_grounded_sam(folder: Path, size: Size) -> dict[str, Any]:
    """Write both models. Returns the parameters of `grounded_sam` that name them."""
    bert, dino, sam = folder / "bert", folder / "dino.pth", folder / "sam.pth"
    config = Path(groundingdino.__file__).parent / "config" / "GroundingDINO_SwinT_OGC.py"
    if size == "small":
        config = _with_settings(config, SMALL_DINO, folder / "small.py")
        sam_model_registry["vit_b"] = _small_sam
    torch.manual_seed(0)
    _write_bert(bert, size)
    _write_dino(dino, config, bert)
    torch.save(sam_model_registry["vit_b"]().state_dict(), sam)
    scale = SMALL_SCALE if size == "small" else {}
    return {
        "dino": {"weights": str(dino), "config": str(config), **scale},
        "text_encoder": {"weights": str(bert)},
        "sam": {"weights": str(sam), "size": "vit_b"},
    }


def _write_bert(folder: Path, size: Size) -> None:
    """Write BERT. Its vocabulary, of the real size, has the special tokens and the words of the phrases."""
    shape = BertConfig(**(SMALL_BERT if size == "small" else {}))
    tokens = [SPECIAL.get(number, f"[unused{number}]") for number in range(shape.vocab_size)]
    words = sorted({word for phrase in PHRASES for word in phrase.split()})
    tokens[WORDS_FROM : WORDS_FROM + len(words)] = words
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(tokens), encoding="utf-8")
    BertTokenizerFast.from_pretrained(folder, do_lower_case=True).save_pretrained(folder)
    BertModel(shape).save_pretrained(folder)


def _write_dino(path: Path, config: Path, bert: Path) -> None:
    settings = SLConfig.fromfile(str(config))
    settings.text_encoder_type = str(bert)
    with contextlib.redirect_stdout(io.StringIO()), phrase_bert():
        model = build_model(settings)
    model.transformer.decoder.norm.weight.data *= 0.1  # so that scores are neither all 0 nor all 1
    torch.save({"model": model.state_dict()}, path)


def _with_settings(config: Path, settings: dict[str, int], target: Path) -> Path:
    """A copy of a configuration file with other values at the end, where they replace the first ones."""
    lines = [f"{name} = {value}" for name, value in settings.items()]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join([config.read_text(encoding="utf-8"), *lines]), encoding="utf-8")
    return target


def _small_sam(checkpoint: None = None) -> Sam:
    side = SMALL_SAM["img_size"] // 16
    return Sam(
        image_encoder=ImageEncoderViT(
            **SMALL_SAM,
            patch_size=16,
            mlp_ratio=4,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            qkv_bias=True,
            use_rel_pos=True,
            window_size=14,
            out_chans=256,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=256,
            image_embedding_size=(side, side),
            input_image_size=(SMALL_SAM["img_size"],) * 2,
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8),
            transformer_dim=256,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
        ),
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    )
