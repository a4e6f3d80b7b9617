from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import pytest
import torch

from lass3d_core.errors import BackendUnavailable, CorruptArtifact, DataError, Lass3dError
from preprocess.lvm.weights import (
    HubName,
    check_keys,
    damaged_file,
    found_locally,
    hub_name,
    is_whole,
    loading,
    local_path,
)

_HEADER = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
_SAFETENSORS = len(_HEADER).to_bytes(8, "little") + _HEADER + bytes(4)


def cached(hub: Path, repository: str, files: dict[str, str]) -> Path:
    """A repository in the layout of the hub's cache."""
    commit = "0" * 40
    repo = hub / f"models--{repository.replace('/', '--')}"
    folder = repo / "snapshots" / commit
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of an unreachable hub."""
    constants = pytest.importorskip(
        "huggingface_hub.constants", reason="needs the [lvm] extra: make setup-lvm"
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def refused(error: Exception) -> Lass3dError:
    """What `loading` makes of `error`; its message must be one line that names the model and the weights."""
    with pytest.raises(Lass3dError) as caught, loading("kosmos2", "w/kosmos"):
        raise error
    assert str(caught.value).startswith("kosmos2: ") and "w/kosmos" in str(caught.value)
    assert "\n" not in str(caught.value) and ";" in str(caught.value)
    return caught.value


def test_existing_path_is_taken_before_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "org" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert local_path("org/model", "main", "kosmos2") == tmp_path / "org" / "model"


@pytest.mark.parametrize(
    ("weights", "name"),
    [
        ("org/model-1.5", HubName("org/model-1.5", None, "v1")),
        ("org/model/part/a.pth", HubName("org/model", "part/a.pth", "v1")),
        ("/data/model", None),
        ("./model", None),
        ("../org/model", None),
        ("~/org/model", None),
        ("model", None),
    ],
)
def test_name_on_the_hub_has_an_owner_and_never_starts_like_a_path(
    weights: str, name: HubName | None
) -> None:
    assert hub_name(weights, "v1") == name


def test_path_that_does_not_exist_is_named() -> None:
    with pytest.raises(BackendUnavailable, match="kosmos2: the weights /no/where do not exist"):
        local_path("/no/where", "main", "kosmos2")


def test_whole_copy_in_the_cache_is_found_without_a_network(hub: Path) -> None:
    folder = cached(hub, "org/model", {"config.json": "{}", "model.safetensors": ""})
    assert local_path("org/model", "main", "kosmos2") == folder
    assert found_locally("org/model", "other-revision") is None


def test_single_file_in_the_cache_is_found(hub: Path) -> None:
    folder = cached(hub, "org/model", {"part/a.pth": ""})
    assert local_path("org/model/part/a.pth", "main", "sam") == folder / "part" / "a.pth"


def test_unreachable_hub_is_one_line_with_the_remedy(hub: Path) -> None:
    for weights in ("org/model", "org/model/a.pth"):
        with pytest.raises(BackendUnavailable, match=f"kosmos2: the weights {weights} are .*`make weights`"):
            local_path(weights, "main", "kosmos2")


def test_broken_off_download_is_not_whole(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert not is_whole(tmp_path)
    index = {"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "1.safetensors").touch()
    assert not is_whole(tmp_path)
    (tmp_path / "2.safetensors").touch()
    assert is_whole(tmp_path)


@pytest.mark.parametrize("kept", [0, 10, 700, 3000, -500, -1])
def test_cut_off_checkpoint_is_called_so(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "w" / "kosmos"
    path.parent.mkdir()
    torch.save({"weight": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CorruptArtifact, match=r"kosmos2: .*cut off or damaged"), loading("kosmos2", path):
        torch.load(path)


@pytest.mark.parametrize(
    ("name", "content", "whole"),
    [
        ("config.json", b'{"a": 1}', True),
        ("config.json", b'{"a": ', False),
        ("model.safetensors", _SAFETENSORS, True),
        ("model.safetensors", _SAFETENSORS[:-1], False),
        ("model.safetensors", _SAFETENSORS[:20], False),
        ("model.safetensors", b"short", False),
        ("model.safetensors", b"<html>not found</html>", False),
        ("pytorch_model.bin", b"PK\x03\x04 and nothing else", False),
        ("words.txt", b"any text", True),
    ],
)
def test_a_file_that_is_not_whole_is_named(name: str, content: bytes, whole: bool, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / name).write_bytes(content)
    assert damaged_file(tmp_path) == (None if whole else tmp_path / name)
    assert damaged_file(tmp_path / "absent") is None
    kind, named = (DataError, tmp_path) if whole else (CorruptArtifact, tmp_path / name)
    with pytest.raises(kind, match=re.escape(f"kosmos2: {named} ")), loading("kosmos2", tmp_path):
        raise RuntimeError("what the library says")


def test_checkpoint_of_another_architecture_is_called_so() -> None:
    with pytest.raises(DataError, match="does not fit this model"), loading("kosmos2", "w/kosmos"):
        torch.nn.Linear(2, 2).load_state_dict({"weight": torch.zeros(3, 2)})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (pickle.UnpicklingError("bad"), CorruptArtifact),
        (EOFError(), CorruptArtifact),
        (OSError("Error no file named model.safetensors\nfound in directory"), BackendUnavailable),
        (ImportError("No module named 'groundingdino'"), BackendUnavailable),
        (ConnectionError("Max retries exceeded"), BackendUnavailable),
        (torch.OutOfMemoryError("CUDA out of memory"), BackendUnavailable),
        (ValueError("Unrecognized model\n" * 100), DataError),
    ],
)
def test_every_fault_of_a_library_is_one_line(error: Exception, kind: type) -> None:
    if isinstance(error, ImportError):
        with pytest.raises(BackendUnavailable, match=r"groundingdino.*make setup-lvm"), loading("sam", "w"):
            raise error
    else:
        assert isinstance(refused(error), kind)


def test_missing_and_unknown_parameters_are_counted_and_one_named() -> None:
    check_keys("sam", "sam.pth", [], [])
    with pytest.raises(DataError) as caught:
        check_keys("sam", "sam.pth", ["b.weight", "a.weight"], ["c"])
    assert "lacks 2 parameters, such as a.weight, and has 1 unknown, such as c" in str(caught.value)
