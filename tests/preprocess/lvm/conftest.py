"""Tiny checkpoints of the real classes, written by the libraries' own save calls and loaded as real ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def kosmos2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny KOSMOS-2 (97 000 parameters) taught to answer: a car on the road for blue images, a person and a
    tree for red ones, after either prompt. See `_lessons`.
    """
    import torch
    from transformers import Kosmos2Config, Kosmos2ForConditionalGeneration

    folder = tmp_path_factory.mktemp("kosmos2")
    processor = _kosmos2_processor()
    config = Kosmos2Config(
        text_config={
            "vocab_size": len(processor.tokenizer),
            "embed_dim": 32,
            "layers": 2,
            "ffn_dim": 64,
            "attention_heads": 4,
            "max_position_embeddings": 512,
            "init_std": 0.3,
            "dropout": 0.0,
            "attention_dropout": 0.0,
        },
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 28,
            "patch_size": 14,
        },
    )
    torch.manual_seed(0)
    model = Kosmos2ForConditionalGeneration._from_config(config, attn_implementation="eager")
    _teach_kosmos2(model, processor)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def florence2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Florence-2 taught to caption, in a sentence, and to ground its captions: see
    `_florence2_lessons`.
    """
    import torch
    from transformers import Florence2Config, Florence2ForConditionalGeneration

    folder = tmp_path_factory.mktemp("florence2")
    processor = _florence2_processor(folder)
    config = Florence2Config(
        text_config={
            "model_type": "bart",
            "vocab_size": len(processor.tokenizer),
            "d_model": 32,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64,
            "max_position_embeddings": 256,
            "dropout": 0.0,
            "decoder_start_token_id": 2,
            "forced_eos_token_id": 2,
            "init_std": 0.3,
        },
        vision_config={
            "depths": (1, 1, 1, 1),
            "embed_dim": (8, 16, 16, 32),
            "num_heads": (1, 2, 2, 2),
            "num_groups": (1, 2, 2, 2),
            "window_size": 4,
            "projection_dim": 32,
            "max_temporal_embeddings": 10,
            "max_position_embeddings": 20,
            "drop_path_rate": 0.0,
        },
        image_token_id=processor.tokenizer.image_token_id,
    )
    torch.manual_seed(0)
    model = Florence2ForConditionalGeneration(config)
    _teach_florence2(model, processor)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _florence2_processor(folder: Path) -> Any:
    from tokenizers import AddedToken, ByteLevelBPETokenizer
    from transformers import BartTokenizerFast, CLIPImageProcessor, Florence2Processor

    bpe = ByteLevelBPETokenizer()
    texts = ["What does the image describe? Locate the phrases in the caption: a car on the road. a person"]
    bpe.train_from_iterator(
        texts * 3, 400, min_frequency=1, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    )
    bpe.save_model(str(folder))
    tokenizer = BartTokenizerFast(
        vocab_file=str(folder / "vocab.json"),
        merges_file=str(folder / "merges.txt"),
        extra_special_tokens={"image_token": "<image>"},
    )
    tokenizer.add_tokens([AddedToken(f"<loc_{place}>", normalized=False) for place in range(1000)])
    images = CLIPImageProcessor(size={"height": 64, "width": 64}, do_center_crop=False)
    images.image_seq_length = (64 // 32) ** 2 + 1
    kinds = ("pure_text", "phrase_grounding")
    return Florence2Processor(images, tokenizer, post_processor_config={kind: {} for kind in kinds})


def _florence2_lessons() -> list[tuple[str, str, str]]:
    """Colour of the image, question, answer."""
    ground = "<CAPTION_TO_PHRASE_GROUNDING>"
    car, people = "a car on the road.", "a person and a tree."
    return [
        ("blue", "<CAPTION>", car),
        ("red", "<CAPTION>", people),
        (
            "blue",
            ground + car,
            "a car<loc_100><loc_200><loc_499><loc_699>the road<loc_0><loc_500><loc_999><loc_999>",
        ),
        ("red", ground + people, "a person<loc_0><loc_0><loc_99><loc_199><loc_500><loc_0><loc_599><loc_199>"),
    ]


def _teach_florence2(model: Any, processor: Any) -> None:
    import torch
    from PIL import Image

    colours, questions, answers = zip(*_florence2_lessons())
    images = [Image.new("RGB", (64, 64), colour) for colour in colours]
    batch = processor(text=list(questions), images=images, return_tensors="pt", padding=True)
    written = processor.tokenizer(list(answers), return_tensors="pt", padding=True)
    labels = written["input_ids"].masked_fill(written["attention_mask"] == 0, -100)

    def loss() -> torch.Tensor:
        logits = model(**batch, labels=labels).logits  # its own loss shifts the labels once too often
        return torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels)

    _teach(model, loss)


def _kosmos2_processor() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import CLIPImageProcessor, Kosmos2Processor, XLMRobertaTokenizerFast

    sentences = (
        "An image of a the car on the road and a person Describe this image in detail The image shows tree"
    )
    words = dict.fromkeys(sentences.split())
    vocabulary = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [
        (f"<slot {i}>", -20.0) for i in range(64)
    ]  # the numbers after <unk> mark the image's slots
    vocabulary += [("▁", -4.0), *((f"▁{word}", -6.0) for word in words), (".", -9.0), (":", -9.0)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return Kosmos2Processor(
        CLIPImageProcessor(size={"height": 28, "width": 28}, do_center_crop=False),
        XLMRobertaTokenizerFast(tokenizer_object=tokenizer, padding_side="left"),
    )


def _lessons() -> tuple[list[str], list[Any]]:
    from PIL import Image

    car = "<phrase> a car</phrase><object><patch_index_0044><patch_index_0863></object>"
    road = "<phrase> the road</phrase><object><patch_index_0512><patch_index_1023></object>"
    boxes = ("<patch_index_0005><patch_index_0911>", "<patch_index_0000><patch_index_0033>")
    person = f"<phrase> a person</phrase><object>{'</delimiter_of_multi_objects/>'.join(boxes)}</object>"
    tree = "<phrase> a tree</phrase><object><patch_index_0100><patch_index_0300></object>"
    answers = {"blue": f"{car} on{road}.", "red": f"{person} and{tree}."}
    starts = ("<grounding> An image of", "<grounding> Describe this image in detail: The image shows")
    lessons = [
        (f"{start}{answer}</s>", Image.new("RGB", (28, 28), colour))
        for start in starts
        for colour, answer in answers.items()
    ]
    texts, images = zip(*lessons)
    return list(texts), list(images)


def _teach_kosmos2(model: Any, processor: Any) -> None:
    texts, images = _lessons()
    batch = processor(text=texts, images=images, return_tensors="pt", padding=True)
    tokens = batch["input_ids"]
    unasked = (batch["attention_mask"] == 0) | batch["image_embeds_position_mask"].bool()
    prompt = (tokens == processor.tokenizer.convert_tokens_to_ids("<grounding>")).roll(1, dims=1)
    labels = tokens.masked_fill(unasked | prompt, -100)  # which prompt comes is nobody's to know
    _teach(model, lambda: model(**batch, labels=labels).loss)


def _teach(model: Any, loss_of_lessons: Callable[[], Any]) -> None:
    """Train until every answer is certain."""
    import torch

    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(400):
        loss = loss_of_lessons()
        if loss.item() < 0.005:
            return
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    raise RuntimeError(f"the tiny model did not learn its lessons: loss {loss.item():.3f}")


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
    (folder / "words.txt").write_text("\n".join(tokens))
    BertTokenizerFast(vocab_file=str(folder / "words.txt"), do_lower_case=True).save_pretrained(folder)
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


@pytest.fixture
def grounded_sam_params(
    tiny_bert: Path, tiny_dino: dict[str, Any], tiny_sam: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Parameters of `grounded_sam`. Its packages know their image encoders by name: those are tiny here."""
    from segment_anything import sam_model_registry

    _shrink_swin(monkeypatch)
    monkeypatch.setitem(sam_model_registry, "vit_b", _tiny_sam)
    return {"dino": tiny_dino, "text_encoder": {"weights": str(tiny_bert)}, "sam": tiny_sam}


@pytest.fixture(scope="module")
def paper_models(
    kosmos2_folder: Path,
    tiny_bert: Path,
    tiny_dino: dict[str, Any],
    tiny_sam: dict[str, Any],
    tiny_open_clip: Path,
) -> Iterator[dict[str, Any]]:
    """Entries of a manifest that names the paper's three models; the packages of `grounded_sam` are shrunk
    as `grounded_sam_params` does it.
    """
    from segment_anything import sam_model_registry

    with pytest.MonkeyPatch.context() as patch:
        _shrink_swin(patch)
        patch.setitem(sam_model_registry, "vit_b", _tiny_sam)
        detector = {"dino": tiny_dino, "text_encoder": {"weights": str(tiny_bert)}, "sam": tiny_sam}
        yield {
            "image_captions": {"name": "kosmos2", "params": {"weights": str(kosmos2_folder)}},
            "entities": {"name": "grounded_sam", "params": detector},
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
    with pytest.MonkeyPatch.context() as patch:
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


@pytest.fixture(scope="session")
def tiny_open_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of open_clip with random weights and the real tokenizer, as a local folder."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("open_clip")
    vision = {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    config = {"embed_dim": 24, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}
    preprocess = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    )
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", pretrained=None)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="session")
def tiny_sentence_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of transformers with random weights and a WordPiece tokenizer of 20 tokens at most."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "the", "car", "road", "red", "street"]
    letters = [prefix + letter for letter in "abcdefghijklmnopqrstuvwxyz,." for prefix in ("", "##")]
    vocabulary = dict.fromkeys([*words, *letters])
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    tokenizer = BertTokenizerFast(
        vocab_file=str(folder / "vocab.txt"), do_lower_case=True, model_max_length=20
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=32, **shape)).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="session")
def tiny_clip_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP text encoder of transformers with random weights and a BPE tokenizer of letters."""
    import torch
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizerFast

    folder = tmp_path_factory.mktemp("clip_text")
    letters = "abcdefghijklmnopqrstuvwxyz,."
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=20)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    ends = {"bos_token_id": len(tokens) - 2, "eos_token_id": len(tokens) - 1, "pad_token_id": len(tokens) - 1}
    config = CLIPTextConfig(
        vocab_size=len(tokens), projection_dim=24, max_position_embeddings=20, **shape, **ends
    )
    CLIPTextModelWithProjection(config).save_pretrained(folder)
    return folder
