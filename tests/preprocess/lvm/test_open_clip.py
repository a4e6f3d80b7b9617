from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

open_clip = pytest.importorskip("open_clip", reason="needs the [lvm] extra: make setup-lvm")
import torch  # noqa: E402

from lass3d_core.errors import CorruptArtifact, DataError, Lass3dError, UnknownName  # noqa: E402
from lass3d_core.manifest.schema import LvmSpec  # noqa: E402
from lass3d_core.records import TextRows  # noqa: E402
from preprocess.lvm import TextEncoder, load_encoder  # noqa: E402
from preprocess.lvm.open_clip import quick_gelu_of  # noqa: E402
from preprocess.lvm.params import OpenClipParams  # noqa: E402
from tests.preprocess.lvm.tiny_encoders import KINDS, write_open_clip  # noqa: E402

TEXTS = ["a red car", "road", "", "a street with a house, a tree and two parked cars", "Road!"]
LONG = "car " * 90


def encoder(weights: Path, **params: Any) -> TextEncoder:
    return load_encoder(LvmSpec("open_clip", {"weights": str(weights), **params}))


def rows_of(encoded: TextRows, text: int) -> np.ndarray:
    return encoded.rows[encoded.offsets[text] : encoded.offsets[text + 1]]


@pytest.fixture(scope="module")
def raw(tiny_open_clip: Path) -> TextEncoder:
    return encoder(tiny_open_clip, normalise=False)


@pytest.fixture
def folder(tiny_open_clip: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(tiny_open_clip, tmp_path / "clip"))


@pytest.fixture
def checkpoint(tiny_open_clip: Path, tmp_path: Path) -> Path:
    """The same weights in a lone file, under an architecture that open_clip knows by name."""
    config = json.loads((tiny_open_clip / "open_clip_config.json").read_text())["model_cfg"]
    del config["quick_gelu"]
    (tmp_path / "tiny-clip.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "tiny-clip.json")
    model = open_clip.create_model(f"local-dir:{tiny_open_clip}")
    torch.save(model.state_dict(), tmp_path / "tiny.pt")
    return tmp_path / "tiny.pt"


def test_row_at_the_end_of_text_is_the_librarys_encoding(tiny_open_clip: Path, raw: TextEncoder) -> None:
    model = open_clip.create_model(f"local-dir:{tiny_open_clip}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{tiny_open_clip}")(TEXTS)
    with torch.inference_mode():
        expected = model.encode_text(tokens).numpy()
    encoded = raw.encode(TEXTS)
    assert encoded.pooled == pytest.approx(expected, abs=1e-6)
    for text in range(len(TEXTS)):
        assert np.array_equal(rows_of(encoded, text)[-1], encoded.pooled[text])


def test_token_rows_are_the_normed_and_projected_states(tiny_open_clip: Path, raw: TextEncoder) -> None:
    model = open_clip.create_model(f"local-dir:{tiny_open_clip}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{tiny_open_clip}")(["a red car"])
    with torch.inference_mode():
        states = model.token_embedding(tokens) + model.positional_embedding
        states = model.ln_final(model.transformer(states, attn_mask=model.attn_mask))
        expected = (states @ model.text_projection)[0, :5].numpy()
    assert rows_of(raw.encode(["a red car"]), 0) == pytest.approx(expected, abs=1e-6)


def test_batches_do_not_change_the_rows(tiny_open_clip: Path, raw: TextEncoder) -> None:
    together = encoder(tiny_open_clip, normalise=False, run={"batch": 2}).encode(TEXTS)
    for text, alone in enumerate(raw.encode([text]) for text in TEXTS):
        assert rows_of(together, text) == pytest.approx(alone.rows, abs=1e-5)


def test_normalised_rows_have_unit_length_and_the_same_direction(
    tiny_open_clip: Path, raw: TextEncoder
) -> None:
    unit, plain = encoder(tiny_open_clip).encode(TEXTS), raw.encode(TEXTS)
    assert np.linalg.norm(unit.rows, axis=1) == pytest.approx(1, abs=1e-6)
    assert unit.pooled == pytest.approx(
        plain.pooled / np.linalg.norm(plain.pooled, axis=1, keepdims=True), abs=1e-6
    )
    assert np.abs(np.linalg.norm(plain.rows, axis=1) - 1).max() > 0.1


def test_long_text_is_cut_to_the_window_and_counted(tiny_open_clip: Path) -> None:
    one = encoder(tiny_open_clip)
    fits, too_long = "car " * 75, "car " * 76
    encoded = one.encode([fits, too_long, LONG, "road"])
    assert one.cut == 2
    assert np.diff(encoded.offsets).tolist() == [77, 77, 77, 3]
    one.encode([LONG])
    assert one.cut == 3


def test_lone_checkpoint_gives_the_same_rows_as_the_folder(checkpoint: Path, raw: TextEncoder) -> None:
    alone = encoder(checkpoint, architecture="tiny-clip", quick_gelu=True, normalise=False)
    assert np.array_equal(alone.encode(TEXTS).rows, raw.encode(TEXTS).rows)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"architecture": "tiny-clip"}, "does not tell whether .* QuickGELU.*set `quick_gelu`"),
        ({"quick_gelu": True}, "single file; set `architecture`"),
        ({"quick_gelu": True, "architecture": "tiny-clp"}, "did you mean 'tiny-clip'"),
        ({"quick_gelu": True, "architecture": "ViT-B-16"}, "does not fit this model"),
    ],
)
def test_lone_checkpoint_needs_its_architecture_and_activation(
    checkpoint: Path, params: dict[str, Any], message: str
) -> None:
    with pytest.raises((DataError, UnknownName), match=message):
        encoder(checkpoint, **params)


def test_manifest_against_the_configuration_is_a_mismatch(tiny_open_clip: Path) -> None:
    with pytest.raises(
        DataError, match=r"QuickGELU mismatch.*manifest says false, its configuration says true"
    ):
        encoder(tiny_open_clip, quick_gelu=False)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("timm/vit_base_patch16_clip_224.openai", True),
        ("/mirror/timm/vit_base_patch16_clip_224.openai", True),
        ("laion/CLIP-ViT-B-16-laion2B-s34B-b88K", False),
        ("timm/ViT-B-16-SigLIP2", False),
        ("timm/MobileCLIP2-S4-OpenCLIP", False),
        ("timm/PE-Core-B-16", False),
        ("/downloads/vit_b_32-quickgelu-laion400m_e32-46683a32.pt", True),
        ("/downloads/vit_b_16-laion400m_e32-55e67d44.pt", False),
    ],
)
def test_published_weights_are_known_by_their_name(weights: str, expected: bool) -> None:
    assert quick_gelu_of(Path("file.pt"), OpenClipParams(weights=weights), {}) is expected


def test_openai_weights_against_their_configuration_are_refused(tmp_path: Path) -> None:
    params = OpenClipParams(weights="timm/vit_base_patch16_clip_224.openai")
    with pytest.raises(DataError, match=r"its configuration says false, its origin says true"):
        quick_gelu_of(tmp_path, params, {"embed_dim": 512, "quick_gelu": False})


def test_weights_of_which_nothing_tells_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not tell.*set `quick_gelu`"):
        quick_gelu_of(tmp_path, OpenClipParams(weights=str(tmp_path)), {"embed_dim": 512})


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning", "ignore:`torch.jit:DeprecationWarning")
def test_torchscript_archive_is_refused_in_one_line(tmp_path: Path) -> None:
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(tmp_path / "ViT-B-16.pt")
    with pytest.raises(DataError, match=r"TorchScript archive.*safetensors"):
        encoder(tmp_path / "ViT-B-16.pt", architecture="ViT-B-16", quick_gelu=True)


def damaged(folder: Path, how: str) -> None:
    weights, config = folder / "open_clip_model.safetensors", folder / "open_clip_config.json"
    if how == "cut off":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif how == "no weights":
        weights.unlink()
    elif how == "no configuration":
        config.unlink()
    elif how == "broken configuration":
        config.write_text(config.read_text()[:-5])
    else:
        config.write_text(config.read_text().replace('"width": 32', '"width": 48'))


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("cut off", CorruptArtifact),
        ("no weights", Lass3dError),
        ("no configuration", Lass3dError),
        ("broken configuration", CorruptArtifact),
        ("another architecture", DataError),
    ],
)
def test_wrong_weights_are_one_line_with_the_folder(folder: Path, how: str, kind: type[Lass3dError]) -> None:
    damaged(folder, how)
    with pytest.raises(kind) as caught:
        encoder(folder)
    line = str(caught.value)
    assert line.startswith("open_clip: ") and str(folder) in line and "; " in line and "\n" not in line


@pytest.mark.parametrize("text", [{"pool_type": "first"}, {"pool_type": "none"}, {"embed_cls": True}])
def test_model_that_pools_no_row_of_a_token_is_refused(tmp_path: Path, text: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="pools no row of a token of its text") as caught:
        encoder(write_open_clip(tmp_path, **text))
    assert "\n" not in str(caught.value)


SHORT = ["a red car", "Road!", "", "two cars a tree", "xyz " * 9]


@pytest.fixture(scope="module", params=KINDS)
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder of each other family of text encoders, and its keys."""
    keys = KINDS[request.param]
    return write_open_clip(tmp_path_factory.mktemp("other"), **keys), keys


def test_rows_of_every_family_are_the_librarys(other: tuple[Path, Any]) -> None:
    folder, keys = other
    model = open_clip.create_model(f"local-dir:{folder}", force_custom_text=True).eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(SHORT)
    text = model.text
    with torch.inference_mode():
        pooled, text.output_tokens = model.encode_text(tokens), True
        states = text(tokens)[1]
        if isinstance(text.text_projection, torch.nn.Linear):
            rows = text.text_projection(states)
        else:
            rows = states if text.text_projection is None else states @ text.text_projection
    encoded = encoder(folder, normalise=False).encode(SHORT)
    assert encoded.pooled == pytest.approx(pooled.numpy(), abs=1e-5)
    for number in range(len(SHORT)):
        ours = rows_of(encoded, number)
        assert ours == pytest.approx(rows[number, : len(ours)].numpy(), abs=1e-5)
        full = len(ours) == keys.get("context_length", 77)
        assert np.array_equal(ours[-1], encoded.pooled[number]) == (keys.get("pool_type") != "last" or full)


def test_rows_of_every_family_are_the_same_alone(other: tuple[Path, Any]) -> None:
    one = encoder(other[0], run={"batch": 2})
    together = one.encode(SHORT)
    for number, text in enumerate(SHORT):
        alone = one.encode([text])
        assert rows_of(together, number) == pytest.approx(alone.rows, abs=1e-5)
        assert together.pooled[number] == pytest.approx(alone.pooled[0], abs=1e-5)


def test_every_family_counts_its_tokens_and_its_cut_texts(other: tuple[Path, Any]) -> None:
    folder, keys = other
    window = keys.get("context_length", 77)
    one = encoder(folder)
    letters = "hf_tokenizer_name" in keys  # no token for the start of a text
    fits = "x " * (window - (1 if letters else 2))
    assert np.diff(one.encode([fits, fits + "x", "x"]).offsets).tolist() == [
        window,
        window,
        2 if letters else 3,
    ]
    assert one.cut == 1


def test_siglip_reads_its_texts_in_small_letters(tmp_path: Path) -> None:
    one = encoder(write_open_clip(tmp_path, **KINDS["SigLIP 2"]))
    assert np.array_equal(one.encode(["A Red-Car."]).rows, one.encode(["a redcar"]).rows)


def test_folder_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    write_open_clip(tmp_path, **KINDS["SigLIP 2"])
    for file in tmp_path.glob("*token*"):
        file.unlink()
    with pytest.raises(Lass3dError) as caught:
        encoder(tmp_path)
    assert str(caught.value).startswith("open_clip: ") and "\n" not in str(caught.value)
