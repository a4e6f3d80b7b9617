"""KOSMOS-2: 24 + 24 layers and 1.7 billion parameters at full size, in bfloat16."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPImageProcessor,
    Kosmos2Config,
    Kosmos2ForConditionalGeneration,
    Kosmos2Processor,
    XLMRobertaTokenizerFast,
)

from benchmarks.random_models import Size

try:
    from transformers.initialization import no_init_weights
except ImportError:  # transformers 4
    from transformers.modeling_utils import no_init_weights

PIECES = 64_002  # of the real vocabulary, before the tags and patches
IMAGE_SLOTS = 64
END = 2  # number of the end token

SMALL = {
    "text_config": {"embed_dim": 256, "layers": 4, "ffn_dim": 1024, "attention_heads": 8},
    "vision_config": {
        "hidden_size": 256,
        "num_hidden_layers": 4,
        "intermediate_size": 1024,
        "num_attention_heads": 4,
    },
}


def write_kosmos2(folder: Path, size: Size) -> int:
    """Write model and processor. Returns the number of parameters. Answers are as long as max_new_tokens."""
    config = Kosmos2Config(**(SMALL if size == "small" else {}))
    with no_init_weights():
        model = Kosmos2ForConditionalGeneration._from_config(config, dtype=torch.bfloat16)
    model.tie_weights()
    _fill(model)
    model.save_pretrained(folder)
    processor = _processor(model.config.vision_config.image_size)
    if len(processor.tokenizer) != config.text_config.vocab_size:
        raise ValueError(f"{len(processor.tokenizer)} tokens, not {config.text_config.vocab_size}")
    processor.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def _fill(model: Kosmos2ForConditionalGeneration) -> None:
    """Small weights, norms that change nothing, and an end token whose score is below others'."""
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            parameter.uniform_(-0.03, 0.03)
        else:
            parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
    model.get_input_embeddings().weight[END] = 0


def _processor(image_size: int) -> Kosmos2Processor:
    words = ["An", "image", "of", "Describe", "this", "in", "detail", "The", "shows"]
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(f"<slot {number}>", -20.0) for number in range(IMAGE_SLOTS)]  # they follow <unk>
    pieces += [("▁", -4.0), (":", -9.0), *((f"▁{word}", -6.0) for word in words)]
    pieces += [(f"▁w{number}", -12.0) for number in range(PIECES - 1 - len(pieces))]
    tokenizer = Tokenizer(models.Unigram([*pieces, ("<mask>", 0.0)], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return Kosmos2Processor(
        CLIPImageProcessor(size={"height": image_size, "width": image_size}, do_center_crop=False),
        XLMRobertaTokenizerFast(tokenizer_object=tokenizer, padding_side="left"),
    )
