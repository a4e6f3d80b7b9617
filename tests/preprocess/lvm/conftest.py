"""Tiny checkpoints of the real classes, written by the libraries' own save calls and loaded as real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.preprocess.lvm.tiny_captioners import write_florence2, write_kosmos2, write_qwen3_vl
from tests.preprocess.lvm.tiny_detectors import (
    tiny_edgetam,
    tiny_hf_dino,
    tiny_hf_sam,
    tiny_hf_sam2,
    tiny_mm_dino,
    tiny_owlv2,
    tiny_sam3,
    tiny_sam_hq,
)
from tests.preprocess.lvm.tiny_encoders import (
    tiny_clip_text,
    tiny_open_clip,
    tiny_sentence_encoder,
    tiny_siglip,
)

__all__ = [
    "tiny_clip_text",
    "tiny_edgetam",
    "tiny_hf_dino",
    "tiny_hf_sam",
    "tiny_hf_sam2",
    "tiny_mm_dino",
    "tiny_open_clip",
    "tiny_owlv2",
    "tiny_sam3",
    "tiny_sam_hq",
    "tiny_sentence_encoder",
    "tiny_siglip",
]


@pytest.fixture(scope="session")
def kosmos2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny KOSMOS-2 that answers, see tiny_captioners.py."""
    folder = tmp_path_factory.mktemp("kosmos2")
    write_kosmos2(folder)
    return folder


@pytest.fixture(scope="session")
def florence2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny Florence-2 that answers, see tiny_captioners.py."""
    folder = tmp_path_factory.mktemp("florence2")
    write_florence2(folder)
    return folder


@pytest.fixture(scope="session")
def qwen3_vl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny Qwen3-VL that answers, see tiny_captioners.py."""
    folder = tmp_path_factory.mktemp("qwen3_vl")
    write_qwen3_vl(folder)
    return folder


WORDS = """
    a an the of and with side road street house building tree trees car parked vehicle truck person walk ##er
    grass fence pole traffic sign light sky sidewalk ##s
"""


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a BERT of random weights; its special tokens have the numbers of bert-base-uncased.

    Words that it does not know are spelled in letters, one token each.
    """
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    known = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
    letters = "abcdefghijklmnopqrstuvwxyz0123456789,'-"
    words = dict.fromkeys([*WORDS.split(), *letters, *(f"##{letter}" for letter in letters)])
    tokens = [known.get(number, f"[unused{number}]") for number in range(1030)] + list(words)
    (folder / "vocab.txt").write_text("\n".join(tokens))  # transformers 5 ignores a `vocab_file`
    BertTokenizerFast.from_pretrained(folder, do_lower_case=True).save_pretrained(folder)
    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        initializer_range=0.3,
    )
    BertModel(shape).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def authors_packages() -> None:
    """Skips a test where they are absent."""
    pytest.importorskip("groundingdino", reason="needs the [lvm-paper] extra: make setup-lvm-paper")


@pytest.fixture(scope="module")
def grounded_sam_params(
    authors_packages: None, tiny_bert: Path, tiny_dino: dict[str, Any], tiny_sam: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Parameters of `grounded_sam`. Its packages know their image encoders by name: those are tiny here."""
    from segment_anything import sam_model_registry

    with pytest.MonkeyPatch.context() as patch:
        _shrink_swin(patch)
        patch.setitem(sam_model_registry, "vit_b", _tiny_sam)
        yield {"dino": tiny_dino, "text_encoder": {"weights": str(tiny_bert)}, "sam": tiny_sam}


@pytest.fixture(scope="module")
def paper_models(
    kosmos2_folder: Path, grounded_sam_params: dict[str, Any], tiny_open_clip: Path
) -> dict[str, Any]:
    """Entries of a manifest that names the paper's three models."""
    return {
        "image_captions": {"name": "kosmos2", "params": {"weights": str(kosmos2_folder)}},
        "entities": {"name": "grounded_sam", "params": grounded_sam_params},
        "text_embeddings": {"name": "open_clip", "params": {"weights": str(tiny_open_clip)}},
    }


@pytest.fixture
def hf_grounded_sam_params(tiny_hf_dino: Path, tiny_hf_sam: Path) -> dict[str, Any]:
    """Parameters of `hf_grounded_sam`."""
    return {"dino": {"weights": str(tiny_hf_dino)}, "sam": {"weights": str(tiny_hf_sam)}}


@pytest.fixture
def owlv2_sam_params(tiny_owlv2: Path, tiny_hf_sam: Path) -> dict[str, Any]:
    """Parameters of `owlv2_sam`."""
    return {"owl": {"weights": str(tiny_owlv2)}, "sam": {"weights": str(tiny_hf_sam)}}


@pytest.fixture
def sam3_params(tiny_sam3: Path) -> dict[str, Any]:
    """Parameters of `sam3`."""
    return {"weights": str(tiny_sam3)}


@pytest.fixture(scope="session")
def tiny_dino(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> dict[str, Any]:
    """`dino` of the parameters: checkpoint and configuration of groundingdino-py, its image encoder tiny."""
    import groundingdino
    import torch
    from groundingdino.models import build_model
    from groundingdino.util.slconfig import SLConfig

    from preprocess.lvm.grounding_bert import phrase_bert

    folder = tmp_path_factory.mktemp("dino")
    text = (Path(groundingdino.__file__).parent / "config" / "GroundingDINO_SwinT_OGC.py").read_text()
    for real, tiny in (
        ("enc_layers = 6", "enc_layers = 1"),
        ("dec_layers = 6", "dec_layers = 2"),
        ("dim_feedforward = 2048", "dim_feedforward = 64"),
        ("num_queries = 900", "num_queries = 60"),
    ):
        assert real in text
        text = text.replace(real, tiny)
    (folder / "tiny.py").write_text(text)
    settings = SLConfig.fromfile(str(folder / "tiny.py"))
    settings.text_encoder_type = str(tiny_bert)
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch, phrase_bert():
        _shrink_swin(patch)
        model = build_model(settings)
    for layer in model.bbox_embed:
        torch.nn.init.normal_(layer.layers[-1].weight, std=0.3)
    model.transformer.decoder.norm.weight.data *= 0.1  # scores neither all 0 nor all 1
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    torch.save({"model": {**state, "module.label_enc.weight": torch.zeros(3)}}, folder / "tiny.pth")
    return {
        "weights": str(folder / "tiny.pth"),
        "config": str(folder / "tiny.py"),
        "short_side": 96,
        "long_side": 256,
    }


def _shrink_swin(patch: pytest.MonkeyPatch) -> None:
    from groundingdino.models.GroundingDINO.backbone import backbone
    from groundingdino.models.GroundingDINO.backbone.swin_transformer import SwinTransformer

    def tiny(name: str, pretrain_img_size: int, **settings: Any) -> Any:
        return SwinTransformer(
            pretrain_img_size, embed_dim=12, depths=[1] * 4, num_heads=[1, 1, 2, 2], window_size=7, **settings
        )

    patch.setattr(backbone, "build_swin_transformer", tiny)


@pytest.fixture(scope="session")
def tiny_sam(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """`sam` of the parameters: a checkpoint of segment-anything, its ViT-B tiny."""
    import torch

    path = tmp_path_factory.mktemp("sam") / "tiny.pth"
    torch.manual_seed(0)
    torch.save(_tiny_sam().state_dict(), path)
    return {"weights": str(path), "size": "vit_b"}


def _tiny_sam(checkpoint: None = None) -> Any:
    from functools import partial

    import torch
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    return Sam(
        image_encoder=ImageEncoderViT(
            depth=2,
            embed_dim=32,
            img_size=128,
            patch_size=16,
            num_heads=2,
            mlp_ratio=2,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            qkv_bias=True,
            use_rel_pos=True,
            global_attn_indexes=(1,),
            window_size=7,
            out_chans=32,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=32, image_embedding_size=(8, 8), input_image_size=(128, 128), mask_in_chans=16
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=2, embedding_dim=32, mlp_dim=64, num_heads=4),
            transformer_dim=32,
            iou_head_depth=3,
            iou_head_hidden_dim=32,
        ),
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    )
