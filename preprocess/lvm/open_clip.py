"""`open_clip`: a CLIP's text encoder. Rows come after the final norm and the projection, up to end-of-text.

One row of a text is its pooled row, the only one that training aligned with images.
- CLIP, PE-Core, MetaCLIP 2, MobileCLIP2: the row at end-of-text. In all but MobileCLIP2 the row of a token
  sees only the tokens before it, and the row at end-of-text is the first that sees the whole text.
- SigLIP, SigLIP 2, CLIPA: the row at the last place of the window, which is mostly padding. It is beside the
  text's own rows. Each row sees the whole window, so texts are padded to it, as in training.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transformer import TextTransformer

from lass3d_core.errors import DataError, UnknownName
from lass3d_core.records import TextRows
from lass3d_core.settings import nearest
from preprocess.lvm.device import Halving, pick_device, pick_dtype
from preprocess.lvm.load_errors import check_tokenizer, loading
from preprocess.lvm.params import OpenClipParams
from preprocess.lvm.text_rows import Encoded, gathered, per_text
from preprocess.lvm.weights import local_path

NAME = "open_clip"
CONFIG = "open_clip_config.json"
POOLED_AT = ("argmax", "eos", "last")
"""open_clip's names for the pooled row: at end-of-text (the first two), or at the end of the window."""


class OpenClipEncoder:
    """A `TextEncoder`. cut: how many texts so far were longer than the window and lost their end."""

    def __init__(self, params: OpenClipParams) -> None:
        """Load the model. Raises BackendUnavailable, CorruptArtifact, DataError, UnknownName."""
        self.params = params
        self.cut = 0
        self._device = pick_device(params.run.device)
        self._in_batches = Halving(NAME, params.run.batch)
        path = local_path(params.weights, params.revision, NAME)
        with loading(NAME, path):
            text, self._tokens_of = _loaded(path, params)
            dtype = pick_dtype(params.dtype, self._device)
            self._text = text.to(self._device, dtype).eval()

    def encode(self, texts: Sequence[str]) -> TextRows:
        """A row per token, then the end-of-text row."""
        dim = self._text.output_dim if self._text.text_projection is not None else self._text.width
        return gathered(self._in_batches(self._encoded, texts), dim)

    def _encoded(self, texts: Sequence[str]) -> list[Encoded]:
        window = self._text.context_length
        whole = self._lengths(list(texts), window + 1)
        self.cut += sum(length > window for length in whole)
        lengths = [min(length, window) for length in whole]
        _, states = self._text(self._tokens_of(list(texts)).to(self._device))
        rows = self._projected(states)
        places = [window - 1] * len(texts) if self._text.pool_type == "last" else [it - 1 for it in lengths]
        pooled = rows[torch.arange(len(rows)), torch.tensor(places, dtype=torch.int64)]
        return per_text(rows, pooled, lengths, self.params.normalise)

    def _lengths(self, texts: list[str], most: int) -> list[int]:
        """The tokens of each text, end-of-text included; a text that is longer than `most` has `most`."""
        if isinstance(self._tokens_of, open_clip.SimpleTokenizer):
            # The token of end-of-text has the highest number.
            return (self._tokens_of(texts, context_length=most).argmax(dim=-1) + 1).tolist()
        cleaned = [self._tokens_of.clean_fn(text) for text in texts]
        tokens = self._tokens_of.tokenizer(cleaned, truncation=True, max_length=most)["input_ids"]
        return [len(each) for each in tokens]

    def _projected(self, states: torch.Tensor) -> torch.Tensor:
        projection = self._text.text_projection
        if projection is None:
            return states
        return projection(states) if isinstance(projection, torch.nn.Module) else states @ projection


def _loaded(path: Path, params: OpenClipParams) -> tuple[TextTransformer, Any]:
    """The text encoder of the model at `path`, and its tokenizer."""
    if path.is_dir():
        name, pretrained = f"local-dir:{path}", None
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))["model_cfg"]
    else:
        name, pretrained = _architecture(path, params), str(path)
        config = open_clip.get_model_config(name)
    model = open_clip.create_model(
        name,
        pretrained=pretrained,
        force_quick_gelu=quick_gelu_of(path, params, config),
        force_custom_text=True,
        require_pretrained=True,
    )
    text, pool = model.text, getattr(model.text, "pool_type", None)
    if not isinstance(text, TextTransformer) or pool not in POOLED_AT or text.cls_emb is not None:
        raise DataError(f"{NAME}: {path} pools no row of a token of its text, as CLIP does; take `hf_text`")
    text.output_tokens = True
    tokenizer = open_clip.get_tokenizer(name)
    if not isinstance(tokenizer, open_clip.SimpleTokenizer):
        if tokenizer.tokenizer_mode:
            raise DataError(f"{NAME}: {path} orders its tokens in another way ({tokenizer.tokenizer_mode})")
        check_tokenizer(NAME, path, tokenizer.tokenizer)
    return text, tokenizer


def _architecture(path: Path, params: OpenClipParams) -> str:
    """open_clip's name for the architecture of a checkpoint file. Raises DataError, UnknownName."""
    if _is_torchscript(path):
        raise DataError(
            f"{NAME}: {path} is a TorchScript archive, as OpenAI published them; "
            "take the same weights as safetensors, such as timm/vit_base_patch16_clip_224.openai"
        )
    name, known = params.architecture, open_clip.list_models()
    if name is None:
        raise DataError(f"{NAME}: {path} is a single file; set `architecture` to what it holds (ViT-B-16)")
    if name not in known:
        raise UnknownName(f"{NAME}: open_clip has no architecture {name!r}{nearest(name, known)}")
    return name


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def quick_gelu_of(path: Path, params: OpenClipParams, config: Mapping[str, Any]) -> bool:
    """Whether the model at `path` was trained with QuickGELU, as OpenAI's and some later ones were.

    The tensors do not show it, and a wrong answer raises no error. Three places may say it: the manifest, the
    model's open_clip configuration `config`, and open_clip's table of published weights, if it has the name.
    Raises DataError if two places disagree or none says it.
    """
    # Decision: a configuration without the key says nothing. open_clip takes it for false, but in a folder
    # that was put together by hand nothing else would show the mistake.
    said = {
        "the manifest": params.quick_gelu,
        "its configuration": config.get("quick_gelu"),
        "its origin": _quick_gelu_of_origin(params.weights),
    }
    answers = {place: answer for place, answer in said.items() if answer is not None}
    if not answers:
        raise DataError(
            f"{NAME}: {path} does not tell whether it was trained with QuickGELU; "
            "set `quick_gelu` to true (OpenAI's weights, and names with `quickgelu`) or false"
        )
    if len(set(answers.values())) > 1:
        raise DataError(
            f"{NAME}: QuickGELU mismatch for {path}: "
            f"{', '.join(f'{place} says {str(answer).lower()}' for place, answer in answers.items())}; "
            "its features would be wrong; mend `quick_gelu` or `architecture`"
        )
    return next(iter(answers.values()))


def _quick_gelu_of_origin(weights: str) -> bool | None:
    """The answer of open_clip's table for weights of this name: a hub id, or the name of a published file."""
    folder, file = "/".join(Path(weights).parts[-2:]), Path(weights).name
    table = [open_clip.get_pretrained_cfg(*name) for name in open_clip.list_pretrained()]
    answers = {
        bool(published.get("quick_gelu"))
        for published in table
        if folder == published.get("hf_hub", "").strip("/") or file == Path(published.get("url", "")).name
    }
    return answers.pop() if len(answers) == 1 else None
