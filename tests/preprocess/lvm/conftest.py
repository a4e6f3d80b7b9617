"""Tiny checkpoints of the real classes, written by the libraries' own save calls and loaded as real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.preprocess.lvm.tiny_captioners import write_florence2, write_kosmos2, write_qwen3_vl
from tests.preprocess.lvm.tiny_encoders import (
    tiny_clip_text,
    tiny_open_clip,
    tiny_sentence_encoder,
    tiny_siglip,
)

__all__ = ["tiny_clip_text", "tiny_open_clip", "tiny_sentence_encoder", "tiny_siglip"]


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


@pytest.fixture(scope="session")
def tiny_hf_dino(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """A folder with transformers' Grounding DINO of random weights."""
    import torch
    from transformers import (
        BertConfig,
        BertTokenizerFast,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    folder = tmp_path_factory.mktemp("hf_dino")
    image_encoder = SwinConfig(
        image_size=64,
        embed_dim=12,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=7,
        out_indices=[2, 3, 4],
    )
    shape = GroundingDinoConfig(
        backbone_config=image_encoder,
        backbone=None,
        use_pretrained_backbone=False,
        text_config=BertConfig.from_pretrained(tiny_bert).to_dict(),
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        num_queries=60,
        max_text_len=256,
        init_std=0.2,
    )
    torch.manual_seed(0)
    GroundingDinoForObjectDetection(shape).save_pretrained(folder)
    scaling = GroundingDinoImageProcessor(size={"shortest_edge": 96, "longest_edge": 256})
    GroundingDinoProcessor(scaling, BertTokenizerFast.from_pretrained(tiny_bert)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_hf_sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with transformers' SAM of random weights."""
    import torch
    from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor

    folder = tmp_path_factory.mktemp("hf_sam")
    shape = SamConfig(
        vision_config={
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
        },
        prompt_encoder_config={**TINY_PROMPT_ENCODER, "image_embedding_size": 4},
        mask_decoder_config=TINY_MASK_DECODER,
    )
    torch.manual_seed(0)
    SamModel(shape).save_pretrained(folder)
    scaling = SamImageProcessor(
        size={"longest_edge": 64},
        pad_size={"height": 64, "width": 64},
        mask_size={"longest_edge": 16},
        mask_pad_size={"height": 16, "width": 16},
    )
    SamProcessor(scaling).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_hf_sam2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with transformers' SAM 2 of random weights."""
    import torch
    from transformers import (
        Sam2Config,
        Sam2HieraDetConfig,
        Sam2ImageProcessorFast,
        Sam2Model,
        Sam2Processor,
        Sam2VisionConfig,
    )

    folder = tmp_path_factory.mktemp("hf_sam2")
    image_encoder = Sam2HieraDetConfig(
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
    vision = Sam2VisionConfig(
        backbone_config=image_encoder,
        backbone_channel_list=[64, 32, 16, 8],
        fpn_hidden_size=32,
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
    )
    shape = Sam2Config(
        vision_config=vision.to_dict(),
        prompt_encoder_config=TINY_PROMPT_ENCODER,
        mask_decoder_config=TINY_MASK_DECODER,
    )
    torch.manual_seed(0)
    Sam2Model(shape).save_pretrained(folder)
    scaling = Sam2ImageProcessorFast(size={"height": 64, "width": 64}, mask_size={"height": 16, "width": 16})
    Sam2Processor(scaling).save_pretrained(folder)
    return folder


TINY_PROMPT_ENCODER = {"hidden_size": 32, "image_size": 64, "patch_size": 16, "mask_input_channels": 16}
TINY_MASK_DECODER = {
    "hidden_size": 32,
    "mlp_dim": 64,
    "num_attention_heads": 4,
    "iou_head_hidden_dim": 32,
    "num_hidden_layers": 2,
}
