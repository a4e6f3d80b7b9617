from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers", reason="needs the [lvm] extra: make setup-lvm")
import torch
from transformers import AutoModel, AutoTokenizer, CLIPTextModelWithProjection, SiglipModel

from lass3d_core.errors import BackendUnavailable, CorruptArtifact, DataError, Lass3dError
from lass3d_core.manifest.schema import LvmSpec
from lass3d_core.records import TextRows
from preprocess.lvm import TextEncoder, load_encoder

TEXTS = ["a red car", "road", "", "a street with a house", "the Road."]


def encoder(weights: Path, **params: Any) -> TextEncoder:
    return load_encoder(LvmSpec("hf_text", {"weights": str(weights), **params}))


def rows_of(encoded: TextRows, text: int) -> np.ndarray:
    return encoded.rows[encoded.offsets[text] : encoded.offsets[text + 1]]


@pytest.fixture(scope="module", params=["mean", "projection", "siglip"])
def models(request: pytest.FixtureRequest) -> tuple[Path, dict[str, Any]]:
    """Every way of pooling, each with a model for it."""
    of = {"mean": "tiny_sentence_encoder", "projection": "tiny_clip_text", "siglip": "tiny_siglip"}
    name = of[request.param]
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
    window, marks = (16, 1) if params["pooling"] == "siglip" else (20, 2)
    encoded = one.encode(["x " * (window - marks), "x " * (window - marks + 1), "x " * 40])
    assert np.diff(encoded.offsets).tolist() == [window] * 3
    assert one.cut == 2


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


def siglip_features(model: Any, tokens: torch.Tensor) -> np.ndarray:
    """The library's text features; transformers 5 gives them with the states."""
    with torch.inference_mode():
        found = model.get_text_features(input_ids=tokens)
    return getattr(found, "pooler_output", found).numpy()


def test_siglip_is_the_librarys_text_feature_of_the_whole_window(tiny_siglip: Path) -> None:
    tokenizer, model = (
        AutoTokenizer.from_pretrained(tiny_siglip),
        SiglipModel.from_pretrained(tiny_siglip).eval(),
    )
    encoded = encoder(tiny_siglip, pooling="siglip", normalise=False).encode(TEXTS)
    assert encoded.pooled.shape[1] == 24
    tokens = tokenizer(
        [text.lower() for text in TEXTS],
        padding="max_length",
        max_length=16,
        truncation=True,
        return_tensors="pt",
    )["input_ids"]
    assert encoded.pooled == pytest.approx(siglip_features(model, tokens), abs=1e-5)
    text_model = model.text_model
    with torch.inference_mode():
        rows = text_model.head(text_model(input_ids=tokens).last_hidden_state).numpy()
    for index, text in enumerate(TEXTS):
        length = min(16, len(text.replace(" ", "")) + 1)  # a token per letter, and end-of-text
        assert rows_of(encoded, index) == pytest.approx(rows[index, :length], abs=1e-5)


def test_siglip_2_of_any_resolution_is_read_too(tiny_siglip: Path, tmp_path: Path) -> None:
    from transformers import Siglip2Config, Siglip2Model

    folder = Path(shutil.copytree(tiny_siglip, tmp_path / "siglip2"))
    torch.manual_seed(0)
    text = SiglipModel.from_pretrained(tiny_siglip).config.text_config.to_dict()
    shape = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    image = {**shape, "num_patches": 16, "patch_size": 4}
    model = Siglip2Model(Siglip2Config(text_config=text, vision_config=image)).eval()
    model.save_pretrained(folder)
    tokens = AutoTokenizer.from_pretrained(folder)("a red car", padding="max_length", max_length=16)[
        "input_ids"
    ]
    expected = siglip_features(model, torch.tensor([tokens]))
    encoded = encoder(folder, pooling="siglip", normalise=False).encode(["A red CAR"])
    assert encoded.pooled == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("fixture", "pooling", "fix"),
    [
        ("tiny_siglip", "mean", "siglip"),
        ("tiny_siglip", "projection", "siglip"),
        ("tiny_clip_text", "mean", "projection"),
        ("tiny_clip_text", "siglip", "projection"),
        ("tiny_sentence_encoder", "siglip", "mean"),
        ("tiny_sentence_encoder", "projection", "mean"),
    ],
)
def test_pooling_that_is_not_the_models_is_refused(
    request: pytest.FixtureRequest, fixture: str, pooling: str, fix: str
) -> None:
    with pytest.raises(DataError, match=rf"^hf_text: \S+ holds a model of type \w+; set `pooling` to {fix}$"):
        encoder(request.getfixturevalue(fixture), pooling=pooling)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}, "a language model (qwen3)"),
        ({"is_encoder_decoder": True, "model_type": "t5"}, "a language model (t5)"),
        ({"vision_config": {}, "model_type": "metaclip_2"}, "a model of type metaclip_2"),
    ],
)
def test_model_whose_pooling_is_not_known_is_refused(
    tiny_sentence_encoder: Path, tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    folder = Path(shutil.copytree(tiny_sentence_encoder, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changed}))
    with pytest.raises(DataError) as caught:
        encoder(folder)
    line = str(caught.value)
    assert line.startswith(f"hf_text: {folder}: ") and said in line and "\n" not in line


@pytest.mark.parametrize(
    ("mode", "accepted"),
    [("mean_tokens", True), ("cls_token", False), ("lasttoken", False), ("weightedmean_tokens", False)],
)
def test_sentence_encoder_is_pooled_as_it_says_or_refused(
    tiny_sentence_encoder: Path, tmp_path: Path, mode: str, accepted: bool
) -> None:
    folder = Path(shutil.copytree(tiny_sentence_encoder, tmp_path / "model"))
    (folder / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{each}": each == mode for each in ("mean_tokens", "cls_token", mode)}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **modes}))
    if accepted:
        assert len(encoder(folder).encode(TEXTS).pooled) == len(TEXTS)
        return
    with pytest.raises(
        DataError, match=rf"1_Pooling/config.json says pooling_mode_{mode}, which is not a mean"
    ):
        encoder(folder)


def test_folder_without_its_tokenizer_is_refused(tiny_sentence_encoder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_sentence_encoder, tmp_path / "model"))
    for name in ("vocab.txt", "tokenizer.json"):
        (folder / name).unlink()
    with pytest.raises(Lass3dError, match=r"^hf_text: "):
        encoder(folder)
