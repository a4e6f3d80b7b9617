"""Where a model's weights lie, and one clear line when they cannot be had or read.

`weights` in the manifest is a local folder or file, a hub id (`microsoft/kosmos-2-patch14-224`), or a file of
a hub id (`ShilongLiu/GroundingDINO/groundingdino_swint_ogc.pth`). What exists locally is taken first.
"""

from __future__ import annotations

import errno
import json
import pickle
import re
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lass3d_core.errors import BackendUnavailable, CorruptArtifact, DataError, Lass3dError

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")
UNUSED_FORMATS = ("*.h5", "*.msgpack", "*.onnx", "*.ot", "*.tflite", "*.mlmodel", "onnx/*", "openvino/*")
"""Copies of the same weights for other frameworks; never downloaded."""

_HUB_ID = re.compile(r"(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)(?:/(?P<file>.+))?")


@dataclass(frozen=True)
class HubName:
    """Weights on the hub: a whole repository, or one file of it."""

    repository: str
    file: str | None
    revision: str


def local_path(weights: str, revision: str, model: str) -> Path:
    """The local folder or file that holds `weights`; what the hub's cache lacks is downloaded.

    Raises BackendUnavailable when it is neither here nor to be had.
    """
    found = found_locally(weights, revision)
    if found is not None:
        return found
    hub = hub_name(weights, revision)
    if hub is None:
        raise BackendUnavailable(
            f"{model}: the weights {weights} do not exist; mend `weights` in the manifest"
        )
    with loading(model, weights):
        return download(hub)


def found_locally(weights: str, revision: str) -> Path | None:
    """The path that exists, or the hub's cached copy if it is whole; asks no network."""
    path = Path(weights).expanduser()
    if path.exists():
        return path.resolve()
    hub = hub_name(weights, revision)
    return None if hub is None else _cached(hub)


def hub_name(weights: str, revision: str) -> HubName | None:
    """`weights` read as a name on the hub, None where it can only be a path."""
    match = _HUB_ID.fullmatch(weights)
    return HubName(match["id"], match["file"], revision) if match else None


def download(hub: HubName) -> Path:
    """Bring `hub` into the hub's cache (`HF_HOME`) and return its path. Use within `loading`."""
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    if hub.file is not None:
        return Path(hf_hub_download(hub.repository, hub.file, revision=hub.revision))
    names = HfApi().list_repo_files(hub.repository, revision=hub.revision)
    ignored = [*UNUSED_FORMATS, *_twice(names)]
    return Path(snapshot_download(hub.repository, revision=hub.revision, ignore_patterns=ignored))


def is_whole(folder: Path) -> bool:
    """Whether every weight file is there: a download that was broken off leaves a folder with some."""
    try:
        wanted = [
            folder / name
            for index in folder.glob("*.index.json")
            for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        ]
    except (ValueError, KeyError):
        return False
    some = any(path.suffix in WEIGHT_SUFFIXES for path in folder.rglob("*"))
    return some and all(path.exists() for path in wanted)


@contextmanager
def loading(model: str, weights: object) -> Iterator[None]:
    """Turn what the libraries raise while `weights` are loaded into one line: model, path, fix.

    Raises BackendUnavailable (absent), CorruptArtifact (unreadable), DataError (of another architecture).
    """
    try:
        yield
    except Lass3dError:
        raise
    except Exception as error:
        raise _explained(error, model, weights) from error


def check_keys(model: str, weights: object, missing: Collection[str], unexpected: Collection[str]) -> None:
    """Refuse a checkpoint that leaves a parameter of the model unset or holds others. Raises DataError."""
    faults = []
    if missing:
        faults.append(f"lacks {len(missing)} parameters, such as {min(missing)}")
    if unexpected:
        faults.append(f"has {len(unexpected)} unknown, such as {min(unexpected)}")
    if faults:
        raise DataError(
            f"{model}: {weights} is a checkpoint of another architecture ({', and '.join(faults)}); "
            "name the weights that belong to this model"
        )


def _explained(error: Exception, model: str, weights: object) -> Lass3dError:
    """The error in our tree that says what `error` means for a user."""
    text = " ".join(str(error).split())
    brief = text if len(text) <= 160 else text[:157] + "..."
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, ImportError):
        return BackendUnavailable(f"{model}: {brief}; run `make setup-lvm`")
    if kinds & _UNREACHABLE or "connect to" in text or "offline mode" in text:
        return BackendUnavailable(
            f"{model}: the weights {weights} are neither a local path nor in the hub's cache, and the hub "
            "cannot be reached; run `make weights` where it can, or set `weights` to a local folder"
        )
    if kinds & _NOT_ON_HUB:
        return BackendUnavailable(
            f"{model}: the hub has no {weights} that you may read; "
            "mend `weights` or `revision` in the manifest"
        )
    if "OutOfMemoryError" in kinds:
        return BackendUnavailable(
            f"{model}: {weights} does not fit into the GPU's memory; free some or set run.device to `cpu`"
        )
    if _is_damage(error, kinds, text):
        return CorruptArtifact(f"{model}: {weights} is cut off or damaged ({brief}); download it again")
    if isinstance(error, OSError):
        return BackendUnavailable(f"{model}: {weights} cannot be read ({brief}); complete the folder")
    return DataError(
        f"{model}: {weights} does not fit this model ({type(error).__name__}: {brief}); "
        "name the weights that belong to it"
    )


def _is_damage(error: Exception, kinds: set[str], text: str) -> bool:
    seeks_before_the_start = getattr(error, "errno", None) == errno.EINVAL  # torch.load on a short archive
    known = isinstance(error, _CUT_OFF) or "SafetensorError" in kinds
    return known or seeks_before_the_start or _TORN.search(text) is not None


_UNREACHABLE = {
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
    "ConnectionError",
    "ConnectError",
    "Timeout",
}
_NOT_ON_HUB = {"RepositoryNotFoundError", "RevisionNotFoundError", "EntryNotFoundError", "HFValidationError"}
_CUT_OFF = (pickle.UnpicklingError, EOFError, zipfile.BadZipFile, json.JSONDecodeError, UnicodeDecodeError)
_TORN = re.compile(
    r"PytorchStreamReader|not a valid JSON|invalid load key|unexpected EOF|corrupt|is truncated"
)


def _cached(hub: HubName) -> Path | None:
    """The hub's copy on this disk, None where there is none or a part of it is missing."""
    try:
        from huggingface_hub import snapshot_download, try_to_load_from_cache
    except ImportError:
        return None
    if hub.file is not None:
        found = try_to_load_from_cache(hub.repository, hub.file, revision=hub.revision)
        return Path(found) if isinstance(found, str) else None
    try:
        folder = Path(snapshot_download(hub.repository, revision=hub.revision, local_files_only=True))
    except (OSError, ValueError):
        return None
    return folder if is_whole(folder) else None


def _twice(names: Collection[str]) -> list[str]:
    """The pickled weights of a repository that has the same as safetensors."""
    has_safetensors = any(name.endswith(".safetensors") for name in names)
    return [
        name
        for name in names
        if has_safetensors and name.endswith((".bin", ".pt", ".pth", ".bin.index.json"))
    ]
