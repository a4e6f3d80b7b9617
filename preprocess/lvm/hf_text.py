"""`hf_text`: a text encoder of transformers, pooled by the mean of its tokens, or as CLIP or SigLIP are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModel,
    AutoTokenizer,
    CLIPTextModelWithProjection,
    PretrainedConfig,
    Siglip2TextModel,
    SiglipTextModel,
)

from lass3d_core.errors import BackendUnavailable, DataError
from lass3d_core.records import TextRows
from preprocess.lvm.device import Halving, pick_device, pick_dtype
from preprocess.lvm.load_errors import check_keys, check_tokenizer, loading
from preprocess.lvm.params import HfTextParams
from preprocess.lvm.pretrained import hushed
from preprocess.lvm.text_rows import Encoded, gathered, per_text
from preprocess.lvm.weights import local_path

NAME = "hf_text"
POOLER = "pooler."  # parameters that many checkpoints lack and that no row here depends on
SENTENCE_POOLING = "1_Pooling/config.json"  # where a sentence encoder says how it was trained

TOWERS: dict[str, tuple[str, Any]] = {
    "clip": ("projection", CLIPTextModelWithProjection),
    "clip_text_model": ("projection", CLIPTextModelWithProjection),
    "siglip": ("siglip", SiglipTextModel),  # the published SigLIP 2 of a fixed resolution, too
    "siglip_text_model": ("siglip", SiglipTextModel),
    "siglip2": ("siglip", Siglip2TextModel),
    "siglip2_text_model": ("siglip", Siglip2TextModel),
}
"""Type of a model that was trained with images -> its pooling, and the class of its text encoder."""


class HfTextEncoder:
    """A `TextEncoder`. cut: how many texts so far were longer than the window and lost their end."""

    def __init__(self, params: HfTextParams) -> None:
        """Load the model and encode a text with it. Raises BackendUnavailable, CorruptArtifact, DataError."""
        self.params = params
        self.cut = 0
        self._device = pick_device(params.run.device)
        self._in_batches = Halving(NAME, params.run.batch)
        folder = local_path(params.weights, params.revision, NAME)
        with loading(NAME, folder), hushed():
            kind = _kind(folder, params.pooling)
            self._tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right")
            check_tokenizer(NAME, folder, self._tokenizer)
            self._tokenizer.pad_token = self._tokenizer.pad_token or self._tokenizer.eos_token
            dtype = pick_dtype(params.dtype, self._device)
            model, info = kind.from_pretrained(folder, dtype=dtype, output_loading_info=True)
            missing = [key for key in info["missing_keys"] if not key.startswith(POOLER)]
            check_keys(NAME, folder, missing, ())
            self._model = model.to(self._device).eval()
            # The window in tokens is the tokenizer's or, if that has no limit, the model's.
            own, limit = self._tokenizer.model_max_length, 100_000
            most = getattr(model.config, "max_position_embeddings", limit)
            self._window = own if own < limit and params.pooling != "siglip" else most
            self.encode(["a word"])

    def encode(self, texts: Sequence[str]) -> TextRows:
        """A row per token, special tokens included; the last is the end-of-text row."""
        config = self._model.config
        of = {"mean": "hidden_size", "projection": "projection_dim", "siglip": "projection_size"}
        return gathered(self._in_batches(self._encoded, texts), getattr(config, of[self.params.pooling]))

    def _encoded(self, texts: Sequence[str]) -> list[Encoded]:
        # SigLIP's training made every letter small. Its tokenizer does so only in some versions.
        texts = [text.lower() if self.params.pooling == "siglip" else text for text in texts]
        whole = [len(tokens) for tokens in self._tokenizer(texts, verbose=False)["input_ids"]]
        self.cut += sum(length > self._window for length in whole)
        lengths = [min(length, self._window) for length in whole]
        batch = self._tokenizer(
            texts,
            padding="max_length" if self.params.pooling == "siglip" else True,
            truncation=True,
            max_length=self._window,
            return_tensors="pt",
        ).to(self._device)
        rows, pooled = self._rows(batch["input_ids"], batch.get("attention_mask"))
        return per_text(rows, pooled, lengths, self.params.normalise)

    def _rows(self, tokens: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows (T,L,D) and the pooled rows (T,D) of padded tokens (T,L)."""
        if self.params.pooling == "siglip":
            # Trained without a mask, so that every row sees the padding.
            rows = self._head(self._model(input_ids=tokens).last_hidden_state)
            return rows, rows[:, -1]
        if mask is None:
            mask = torch.ones_like(tokens)
        states = self._model(input_ids=tokens, attention_mask=mask).last_hidden_state
        if self.params.pooling == "projection":
            rows = self._model.text_projection(states)
            return rows, rows[torch.arange(len(rows), device=rows.device), mask.sum(dim=1) - 1]
        return states, (states * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)

    @property
    def _head(self) -> torch.nn.Module:
        """SigLIP's projection; transformers 4 has it inside of a part."""
        head: torch.nn.Module = getattr(self._model, "text_model", self._model).head
        return head


def _kind(folder: Path, pooling: str) -> Any:
    """The class of the text encoder in `folder`. Raises BackendUnavailable; DataError for another pooling."""
    config, _ = PretrainedConfig.get_config_dict(folder)
    if not config:
        raise BackendUnavailable(f"{NAME}: {folder} has no config.json; complete the folder")
    found = str(config.get("model_type"))
    wanted, kind = TOWERS.get(found, ("mean", AutoModel))
    if wanted == "mean" and (unknown := _unknown_pooling(folder, config)):
        raise DataError(f"{NAME}: {folder}: {unknown}; name a sentence encoder, a CLIP or a SigLIP")
    if pooling != wanted:
        raise DataError(f"{NAME}: {folder} holds a model of type {found}; set `pooling` to {wanted}")
    return kind


def _unknown_pooling(folder: Path, config: Mapping[str, Any]) -> str | None:
    """Why the mean of the tokens may not stand for a text of this model; None if nothing says so."""
    said = folder / SENTENCE_POOLING
    if said.is_file():
        content = json.loads(said.read_text(encoding="utf-8"))
        modes = [key for key, value in content.items() if key.startswith("pooling_mode") and value]
        if modes in ([], ["pooling_mode_mean_tokens"]) or content.get("pooling_mode") == "mean":
            return None
        return f"{SENTENCE_POOLING} says {', '.join(modes)}, which is not a mean of the tokens"
    if "vision_config" in config:
        return f"how the texts of a model of type {config.get('model_type')} are pooled is not known here"
    writes = any("CausalLM" in str(name) for name in config.get("architectures") or ())
    if writes or config.get("is_encoder_decoder"):
        return f"a language model ({config.get('model_type')}) has no row that stands for a text"
    return None
