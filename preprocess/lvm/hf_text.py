"""`hf_text`: a text encoder of transformers, pooled by the mean of the tokens or by CLIP's projection."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import AutoModel, AutoTokenizer, CLIPTextModelWithProjection

from lass3d_core.records import TextRows
from preprocess.lvm.device import Halving, pick_device, pick_dtype
from preprocess.lvm.load_errors import check_keys, loading
from preprocess.lvm.params import HfTextParams
from preprocess.lvm.text_rows import Encoded, gathered, per_text
from preprocess.lvm.weights import local_path

NAME = "hf_text"
POOLER = "pooler."  # parameters that many checkpoints lack and that no row here depends on


class HfTextEncoder:
    """A `TextEncoder`. cut: how many texts so far were longer than the window and lost their end."""

    def __init__(self, params: HfTextParams) -> None:
        """Load the model and encode a text with it. Raises BackendUnavailable, CorruptArtifact, DataError."""
        self.params = params
        self.cut = 0
        self._device = pick_device(params.run.device)
        self._in_batches = Halving(NAME, params.run.batch)
        folder = local_path(params.weights, params.revision, NAME)
        kind = AutoModel if params.pooling == "mean" else CLIPTextModelWithProjection
        with loading(NAME, folder):
            self._tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right")
            self._tokenizer.pad_token = self._tokenizer.pad_token or self._tokenizer.eos_token
            dtype = pick_dtype(params.dtype, self._device)
            model, info = kind.from_pretrained(folder, dtype=dtype, output_loading_info=True)
            missing = [key for key in info["missing_keys"] if not key.startswith(POOLER)]
            check_keys(NAME, folder, missing, ())
            self._model = model.to(self._device).eval()
            # The window in tokens is the tokenizer's or, if that has no limit, the model's.
            own, limit = self._tokenizer.model_max_length, 100_000
            most = getattr(model.config, "max_position_embeddings", limit)
            self._window = own if own < limit else most
            self.encode(["a word"])

    def encode(self, texts: Sequence[str]) -> TextRows:
        """A row per token, special tokens included; the last is the end-of-text row."""
        config = self._model.config
        dim = config.hidden_size if self.params.pooling == "mean" else config.projection_dim
        return gathered(self._in_batches(self._encoded, texts), dim)

    def _encoded(self, texts: Sequence[str]) -> list[Encoded]:
        whole = self._tokenizer(list(texts), verbose=False)["input_ids"]
        self.cut += sum(len(tokens) > self._window for tokens in whole)
        batch = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=self._window, return_tensors="pt"
        ).to(self._device)
        mask = batch["attention_mask"]
        states = self._model(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state
        if self.params.pooling == "projection":
            rows = self._model.text_projection(states)
            pooled = rows[torch.arange(len(rows), device=rows.device), mask.sum(dim=1) - 1]
        else:
            rows = states
            pooled = (rows * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        return per_text(rows, pooled, mask.sum(dim=1).tolist(), self.params.normalise)
