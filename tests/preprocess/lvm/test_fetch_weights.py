"""Which weights a manifest names, and how they come here without a hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lass3d_core.manifest.schema import EntitiesSpec, LvmSpec, Manifest
from preprocess.lvm.fetch_weights import fetch_weights, wanted_weights


def manifest(**models: LvmSpec) -> Manifest:
    stand_ins = {
        "image_captions": LvmSpec("palette"),
        "entities": EntitiesSpec("palette"),
        "text_embeddings": LvmSpec("hashing"),
    }
    return Manifest(schema=1, default="street", datasets={}, **stand_ins | models)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of an unreachable hub."""
    constants = pytest.importorskip(
        "huggingface_hub.constants", reason="needs the [lvm] extra: make setup-lvm"
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A copy of another machine's cache with one repository."""
    repository = tmp_path / "mirror" / "models--org--encoder"
    snapshot = repository / "snapshots" / ("0" * 40)
    (repository / "blobs").mkdir(parents=True)
    (repository / "blobs" / "abc").write_text("weights")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to("../../blobs/abc")
    return tmp_path / "mirror"


HUB_ENCODER = {"text_embeddings": LvmSpec("hf_text", {"weights": "org/encoder"})}


def test_every_weight_of_a_model_is_wanted_by_its_key() -> None:
    sam = {"weights": "/data/sam.pth", "size": "vit_b"}
    wanted = wanted_weights(
        manifest(
            image_captions=LvmSpec("kosmos2", {"revision": "v2"}),
            entities=EntitiesSpec("grounded_sam", {"sam": sam}),
        )
    )
    assert [one.key for one in wanted] == [
        "image_captions.params",
        "entities.params.dino",
        "entities.params.text_encoder",
        "entities.params.sam",
    ]
    assert wanted[0].weights == "microsoft/kosmos-2-patch14-224" and wanted[0].revision == "v2"
    assert wanted[3].weights == "/data/sam.pth" and wanted[3].hub is None


def test_local_weights_are_found_and_nothing_is_fetched(tmp_path: Path) -> None:
    there = manifest(text_embeddings=LvmSpec("hf_text", {"weights": str(tmp_path)}))
    assert fetch_weights(there, None, None) == f"hf_text: {tmp_path}: {tmp_path}"


def test_mirror_fills_the_cache(cache: Path, mirror: Path) -> None:
    line = fetch_weights(manifest(**HUB_ENCODER), mirror, None)
    found = cache / "models--org--encoder" / "snapshots" / ("0" * 40)
    assert line == f"hf_text: org/encoder: {found}"
    assert (found / "model.safetensors").read_text() == "weights"
    (only,) = wanted_weights(manifest(**HUB_ENCODER))
    assert only.found() == found


def test_plain_files_are_written_into_a_folder(cache: Path, mirror: Path, tmp_path: Path) -> None:
    line = fetch_weights(manifest(**HUB_ENCODER), mirror, tmp_path / "plain")
    copy = tmp_path / "plain" / "org" / "encoder"
    assert line.endswith(f"copied to {copy}, to be named in text_embeddings.params.weights")
    assert (copy / "model.safetensors").read_text() == "weights"
    assert not (copy / "model.safetensors").is_symlink()


def refusal(street: Any, one_line: Any, weights: str, *arguments: str) -> str:
    street.set(text_embeddings={"name": "hf_text", "params": {"weights": weights}})
    assert street.run("weights", *arguments) == 2
    return one_line()


def test_unreachable_hub_is_one_line(cache: Path, street: Any, one_line: Any) -> None:
    line = refusal(street, one_line, "org/encoder")
    assert "hf_text: the weights org/encoder are neither" in line


def test_mirror_without_the_repository_is_named(cache: Path, street: Any, one_line: Any) -> None:
    (street.folder / "empty").mkdir()
    line = refusal(street, one_line, "org/encoder", "--mirror", str(street.folder / "empty"))
    assert "has no folder models--org--encoder; point MIRROR" in line


def test_incomplete_mirror_is_named(cache: Path, mirror: Path, street: Any, one_line: Any) -> None:
    (mirror / "models--org--encoder" / "snapshots" / ("0" * 40) / "model.safetensors").unlink()
    assert "in part only" in refusal(street, one_line, "org/encoder", "--mirror", str(mirror))


def test_path_that_does_not_exist_is_named_by_its_key(street: Any, one_line: Any) -> None:
    line = refusal(street, one_line, "/no/where")
    assert "text_embeddings.params.weights: /no/where does not exist" in line
