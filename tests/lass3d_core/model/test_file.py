from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from lass3d_core.errors import CorruptArtifact, Lass3dError, MissingArtifact
from lass3d_core.model.card import ModelCard
from lass3d_core.model.file import read_card, read_model, write_model
from lass3d_core.model.network import load_weights, make_network
from tests.lass3d_core.model.conftest import CARD


def rewritten(path: Path, **changes: object) -> Path:
    """The same file with other entries in its card."""
    with safetensors.safe_open(path, framework="pt") as opened:
        metadata = opened.metadata()
    card = json.loads(metadata["lass3d"]) | changes
    tensors = safetensors.torch.load_file(path)
    safetensors.torch.save_file(tensors, path, metadata | {"lass3d": json.dumps(card)})
    return path


def test_a_card_survives_the_file(model_path: Path) -> None:
    assert read_card(model_path) == CARD
    assert ModelCard.from_json(CARD.to_json()) == CARD


def test_weights_survive_the_file_to_the_bit(tmp_path: Path) -> None:
    weights = {"b": torch.randn(3, 4), "a": torch.arange(5), "empty": torch.zeros(0, 2)}
    write_model(tmp_path / "m.safetensors", CARD, weights)
    card, found = read_model(tmp_path / "m.safetensors")
    assert card == CARD and found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_safetensors_alone_opens_the_weights(model_path: Path) -> None:
    assert "segmenter.classifier.2.weight" in safetensors.torch.load_file(model_path)


@pytest.mark.parametrize("keep", [0, 5, 100, 0.5, -1])
def test_a_truncated_file_is_one_line(model_path: Path, keep: float) -> None:
    content = model_path.read_bytes()
    model_path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(CorruptArtifact, match=r"is no whole safetensors file|is damaged"):
        read_model(model_path)


def test_a_flipped_bit_in_the_weights_is_noticed(model_path: Path) -> None:
    content = bytearray(model_path.read_bytes())
    content[-7] ^= 4
    model_path.write_bytes(content)
    with pytest.raises(CorruptArtifact, match="its checksum differs"):
        read_model(model_path)


def test_another_schema_names_both(model_path: Path) -> None:
    with pytest.raises(CorruptArtifact, match="has schema 99, this version reads 1"):
        read_model(rewritten(model_path, schema=99))


def test_a_wrong_card_names_the_key(model_path: Path) -> None:
    with pytest.raises(CorruptArtifact, match=r"voxel_m: expected a finite number"):
        read_model(rewritten(model_path, voxel_m="big"))
    with pytest.raises(CorruptArtifact, match=r"must be equally many"):
        read_model(rewritten(model_path, voxel_m=0.3, class_names=["one"]))


def test_a_safetensors_file_of_something_else_is_one_line(tmp_path: Path) -> None:
    safetensors.torch.save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CorruptArtifact, match="of something else"):
        read_model(tmp_path / "other.safetensors")


def test_missing_files_and_folders_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifact, match="does not exist"):
        read_model(tmp_path / "none.safetensors")
    with pytest.raises(MissingArtifact, match="is a folder"):
        read_model(tmp_path)


def test_weights_of_another_network_name_the_first_that_does_not_fit(model_path: Path) -> None:
    card, weights = read_model(model_path)
    network = make_network(card)
    for change, expected in (
        ({"segmenter.classifier.2.bias": torch.zeros(7)}, r"has shape \(7,\), its card asks for \(3,\)"),
        ({"more": torch.zeros(1)}, "holds the weight more, for which its card has no place"),
    ):
        with pytest.raises(CorruptArtifact, match=expected):
            load_weights(network, weights | change, model_path)
    del weights["segmenter.classifier.2.bias"]
    with pytest.raises(Lass3dError, match=r"another version of the code \(lacks the weight segm"):
        load_weights(network, weights, model_path)
