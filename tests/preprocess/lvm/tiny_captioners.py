"""Tiny captioners that answer: a car on the road for blue images, a person and a tree for red ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_kosmos2(folder: Path) -> None:
    """Write a tiny KOSMOS-2 (97 000 parameters) that was taught to answer, see `_lessons`."""
    import torch
    from transformers import Kosmos2Config, Kosmos2ForConditionalGeneration

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


def write_florence2(folder: Path) -> None:
    """Write a tiny Florence-2 that was taught to caption and to ground, see `_florence2_lessons`."""
    import torch
    from transformers import Florence2Config, Florence2ForConditionalGeneration

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


def _florence2_processor(folder: Path) -> Any:
    from tokenizers import AddedToken, ByteLevelBPETokenizer
    from transformers import BartTokenizerFast, CLIPImageProcessor, Florence2Processor

    bpe = ByteLevelBPETokenizer()
    texts = ["What does the image describe? Locate the phrases in the caption: a car on the road. a person"]
    bpe.train_from_iterator(
        texts * 3, 400, min_frequency=1, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    )
    bpe.save_model(str(folder))
    # A folder and no `vocab_file`, which transformers 5 ignores.
    tokenizer = BartTokenizerFast.from_pretrained(folder, extra_special_tokens={"image_token": "<image>"})
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


QWEN_TEMPLATE = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }}\n{% for part in turn.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}{{ part.text or '' }}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""The form of a turn of Qwen3-VL, without what the tiny model does not need."""


def write_qwen3_vl(folder: Path) -> None:
    """Write a tiny Qwen3-VL that was taught to caption and to ground, see `_qwen3_vl_lessons`."""
    import torch
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    processor = _qwen3_vl_processor(folder)
    number = processor.tokenizer.convert_tokens_to_ids
    end = number("<|im_end|>")
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(processor.tokenizer),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "max_position_embeddings": 1024,
            "initializer_range": 0.1,
            "rope_scaling": {"rope_type": "default", "mrope_section": [2, 1, 1], "mrope_interleaved": True},
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 4,
            "out_hidden_size": 32,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=number("<|image_pad|>"),
        video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"),
        vision_end_token_id=number("<|vision_end|>"),
    )
    torch.manual_seed(0)
    model = Qwen3VLForConditionalGeneration(config)
    model.generation_config.update(
        eos_token_id=[end, number("<|endoftext|>")], pad_token_id=number("<|endoftext|>"), do_sample=True
    )
    model.generation_config.update(temperature=0.7, top_p=0.8, top_k=20)  # as published; captions are greedy
    _teach_qwen3_vl(model, processor)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _qwen3_vl_processor(folder: Path) -> Any:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import AutoImageProcessor, AutoVideoProcessor, Qwen2TokenizerFast, Qwen3VLProcessor

    marks = ["endoftext", "im_start", "im_end", "vision_start", "vision_end", "image_pad", "video_pad"]
    bpe = ByteLevelBPETokenizer()
    texts = [text for _, *lesson in _qwen3_vl_lessons() for text in lesson]
    bpe.train_from_iterator(texts * 3, 400, min_frequency=1)
    bpe.save_model(str(folder))
    tokenizer = Qwen2TokenizerFast.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": [f"<|{mark}|>" for mark in marks]})
    size = {"patch_size": 4, "merge_size": 2, "size": {"shortest_edge": 64, "longest_edge": 1024}}
    kinds = {
        "image_processor_type": "Qwen2VLImageProcessorFast",
        "video_processor_type": "Qwen3VLVideoProcessor",
    }
    (folder / "preprocessor_config.json").write_text(json.dumps({**kinds, **size}))
    images, videos = AutoImageProcessor.from_pretrained(folder), AutoVideoProcessor.from_pretrained(folder)
    return Qwen3VLProcessor(images, tokenizer, videos, chat_template=QWEN_TEMPLATE)


def _qwen3_vl_lessons() -> list[tuple[str, str, str]]:
    """Colour of the image, question, answer."""
    from preprocess.lvm.qwen3_vl import GROUND, QUESTIONS

    car, people = "a car on the road.", "a person and a tree."
    brief = QUESTIONS["brief"]
    return [
        ("blue", brief, car),
        ("red", brief, people),
        (
            "blue",
            GROUND.format(caption=car),
            '[{"bbox_2d": [100, 200, 500, 700], "label": "a car"},'
            ' {"bbox_2d": [0, 500, 999, 1000], "label": "the road"}]',
        ),
        ("red", GROUND.format(caption=people), '[{"bbox_2d": [0, 0, 100, 200], "label": "a person"}]'),
    ]


def _teach_qwen3_vl(model: Any, processor: Any) -> None:
    from PIL import Image

    colours, questions, answers = zip(*_qwen3_vl_lessons())
    content = [{"type": "image"}, {"type": "text"}]
    turns = [
        processor.apply_chat_template(
            [{"role": "user", "content": [content[0], {**content[1], "text": question}]}],
            tokenize=False,
            add_generation_prompt=True,
        )
        for question in questions
    ]
    texts = [f"{turn}{answer}<|im_end|>" for turn, answer in zip(turns, answers)]
    images = [Image.new("RGB", (200, 100), colour) for colour in colours]
    batch = processor(text=texts, images=images, return_tensors="pt", padding=True, padding_side="right")
    asked = processor(text=turns, images=images, return_tensors="pt", padding=True, padding_side="right")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    for row, length in enumerate(asked["attention_mask"].sum(dim=1)):
        labels[row, :length] = -100
    _teach(model, lambda: model(**batch, labels=labels).loss)


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
