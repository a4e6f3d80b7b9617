"""Fixtures: tiny text encoders of random weights, saved by their libraries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SIGLIP = {"no_causal_mask": True, "pool_type": "last", "tokenizer_kwargs": {"clean": "canonicalize"}}
KINDS: dict[str, dict[str, Any]] = {
    "PE-Core": {"context_length": 32},
    "MobileCLIP2": {"no_causal_mask": True},
    "SigLIP 2": {"context_length": 16, "proj_bias": True, "hf_tokenizer_name": "here", **SIGLIP},
    "SigLIP i18n": {"context_length": 16, "proj_type": "none", "hf_tokenizer_name": "here", **SIGLIP},
    "MetaCLIP 2": {"context_length": 16, "pool_type": "eos", "hf_tokenizer_name": "here"},
}
"""Model family -> the keys of open_clip's `text_cfg` that differ from CLIP's; some windows are small here."""


@pytest.fixture(scope="session")
def tiny_open_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of open_clip with random weights and the real tokenizer, as a local folder."""
    return write_open_clip(tmp_path_factory.mktemp("open_clip"), quick_gelu=True)


def write_open_clip(folder: Path, quick_gelu: bool = False, **differing: Any) -> Path:
    """Write a model of open_clip with random weights. differing: keys of `text_cfg`."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    vision = {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2, **differing}
    if "hf_tokenizer_name" in differing:
        tokenizer = _letters_tokenizer("</s>" if differing["pool_type"] == "last" else "<pad>")
        tokenizer.save_pretrained(folder)
        text["vocab_size"] = len(tokenizer)
    dim = 32 if differing.get("proj_type") == "none" else 24
    config = {"embed_dim": dim, "quick_gelu": quick_gelu, "vision_cfg": vision, "text_cfg": text}
    if differing:
        config["custom_text"] = True
    preprocess = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    )
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", pretrained=None)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def _letters_tokenizer(pad: str) -> Any:
    """A tokenizer of small letters with end-of-text. pad: its word for padding; SigLIP's is end-of-text."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["<s>", "<pad>", "</s>", "<unk>", *LETTERS]
    tokens = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Split(Regex("."), "isolated")]
    )
    tokens.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokens, eos_token="</s>", pad_token=pad, unk_token="<unk>", padding_side="right"
    )


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
    # A folder and no `vocab_file`, which transformers 5 ignores.
    tokenizer = BertTokenizerFast.from_pretrained(folder, do_lower_case=True, model_max_length=20)
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


@pytest.fixture(scope="session")
def tiny_siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole SigLIP of transformers with random weights and a tokenizer of small letters."""
    import torch
    from transformers import SiglipConfig, SiglipModel

    folder = tmp_path_factory.mktemp("siglip")
    tokenizer = _letters_tokenizer("</s>")
    tokenizer.save_pretrained(folder)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    text = {**shape, "vocab_size": len(tokenizer), "max_position_embeddings": 16, "projection_size": 24}
    image = {**shape, "hidden_size": 24, "image_size": 16, "patch_size": 8}
    torch.manual_seed(0)
    SiglipModel(SiglipConfig(text_config=text, vision_config=image)).save_pretrained(folder)
    return folder
