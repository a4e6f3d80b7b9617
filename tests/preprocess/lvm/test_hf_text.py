from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers", reason="needs the [lvm] extra: make setup-lvm")
import torch
from transformers import AutoModel, AutoTokenizer, CLIPTextModelWithProjection

from lass3d_core.errors import BackendUnavailable, CorruptArtifact, DataError, Lass3dError
from lass3d_core.manifest.schema import LvmSpec
from lass3d_core.records import TextRows
from preprocess.lvm import TextEncoder, load_encoder

TEXTS = ["a red car", "road", "", "a street with a house", "the Road."]


def encoder(weights: Path, **params: Any) -> TextEncoder:
    return load_encoder(LvmSpec("hf_text", {"weights": str(weights), **params}))


def rows_of(encoded: TextRows, text: int) -> np.ndarray:
    return encoded.rows[encoded.offsets[text] : encoded.offsets[text + 1]]


@pytest.fixture(scope="module", params=["mean", "projection"])
def models(request: pytest.FixtureRequest) -> tuple[Path, dict[str, Any]]:
    """Both ways of pooling, each with a model for it."""
    name = {"mean": "tiny_sentence_encoder", "projection": "tiny_clip_text"}[request.param]
    return request.getfixturevalue(name), {"pooling": request.param, "normalise": False}


def test_mean_is_over_the_tokens_of_the_text_and_not_its_padding(tiny_sentence_encoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_sentence_encoder)
    model = AutoModel.from_pretrained(tiny_sentence_encoder).eval()
    encoded = encoder(tiny_sentence_encoder, normalise=False).encode(TEXTS)
    for index, text in enumerate(TEXTS):
        with torch.inference_mode():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy()
        assert rows_of(encoded, index) == pytest.approx(states, abs=1e-5)
        assert encoded.pooled[index] == pytest.approx(states.mean(axis=0), abs=1e-5)


def test_projection_is_the_librarys_text_embedding(tiny_clip_text: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_clip_text)
    model = CLIPTextModelWithProjection.from_pretrained(tiny_clip_text).eval()
    encoded = encoder(tiny_clip_text, pooling="projection", normalise=False).encode(TEXTS[:4])
    assert encoded.pooled.shape[1] == 24
    for index, text in enumerate(TEXTS[:4]):
        with torch.inference_mode():
            expected = model(**tokenizer(text, return_tensors="pt", truncation=True)).text_embeds[0]
        assert encoded.pooled[index] == pytest.approx(expected.numpy(), abs=1e-5)
        assert np.array_equal(rows_of(encoded, index)[-1], encoded.pooled[index])


def test_batches_and_order_do_not_change_the_rows(models: tuple[Path, dict[str, Any]]) -> None:
    folder, params = models
    one = encoder(folder, **params)
    in_pairs = encoder(folder, run={"batch": 2}, **params).encode(TEXTS[::-1])
    for text, alone in enumerate(one.encode([text]) for text in TEXTS):
        there = len(TEXTS) - 1 - text
        assert rows_of(in_pairs, there) == pytest.approx(alone.rows, abs=1e-5)
        assert in_pairs.pooled[there] == pytest.approx(alone.pooled[0], abs=1e-5)


def test_long_text_is_cut_to_the_window_and_counted(models: tuple[Path, dict[str, Any]]) -> None:
    folder, params = models
    one = encoder(folder, **params)
    encoded = one.encode(["x " * 18, "x " * 19, "x " * 40])
    assert np.diff(encoded.offsets).tolist() == [20, 20, 20]
    assert one.cut == 2


def test_clip_without_projection_is_refused(tiny_sentence_encoder: Path) -> None:
    with pytest.raises(DataError, match=r"hf_text: .*another architecture"):
        encoder(tiny_sentence_encoder, pooling="projection")


@pytest.mark.parametrize(
    ("file", "content", "kind"),
    [
        ("model.safetensors", None, BackendUnavailable),
        ("model.safetensors", b"short", CorruptArtifact),
        ("config.json", None, Lass3dError),
        ("config.json", b"{", CorruptArtifact),
    ],
)
def test_wrong_weights_are_one_line_with_the_folder(
    tiny_sentence_encoder: Path, tmp_path: Path, file: str, content: bytes | None, kind: type[Lass3dError]
) -> None:
    folder = Path(shutil.copytree(tiny_sentence_encoder, tmp_path / "model"))
    (folder / file).unlink() if content is None else (folder / file).write_bytes(content)
    with pytest.raises(kind) as caught:
        encoder(folder)
    line = str(caught.value)
    assert line.startswith("hf_text: ") and str(folder) in line and "; " in line and "\n" not in line
