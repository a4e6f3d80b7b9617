"""The weights of a model: where they are, and a clear error line if they are missing or cannot be read.

`weights` in the manifest is one of three: a local folder or file, a hub id
(`microsoft/kosmos-2-patch14-224`), or a file of a hub id
(`ShilongLiu/GroundingDINO/groundingdino_swint_ogc.pth`). A local path is taken first.
"""

from __future__ import annotations

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
"""The same weights for other frameworks; they are not downloaded."""

_HUB_ID = re.compile(r"(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)(?:/(?P<file>.+))?")


@dataclass(frozen=True)
class HubName:
    """Weights on the hub: a whole repository, or one file of it."""

    repository: str
    file: str | None
    revision: str


def local_path(weights: str, revision: str, model: str) -> Path:
    """The local folder or file of `weights`; downloaded if it is neither on disk nor in the hub's cache.

    Raises BackendUnavailable.
    """
    found = found_locally(weights, revision)
    if found is not None:
        return found
    hub = hub_name(weights, revision)
    if hub is None:
        raise BackendUnavailable(
            f"{model}: the weights {weights} do not exist; mend `weights` in the manifest"
        )
    return download(hub, model)


def found_locally(weights: str, revision: str) -> Path | None:
    """The local path, or the hub's cached copy if it is whole, else None. Uses no network."""
    path = Path(weights).expanduser()
    if path.exists():
        return path.resolve()
    hub = hub_name(weights, revision)
    return None if hub is None else _cached(hub)


def hub_name(weights: str, revision: str) -> HubName | None:
    """`weights` as a name on the hub; None if it can only be a path."""
    match = _HUB_ID.fullmatch(weights)
    return HubName(match["id"], match["file"], revision) if match else None


def download(hub: HubName, model: str) -> Path:
    """Download `hub` into the hub's cache (`HF_HOME`) and return its path. Raises BackendUnavailable."""
    name = hub.repository if hub.file is None else f"{hub.repository}/{hub.file}"
    try:
        from huggingface_hub import HfApi, hf_hub_download, snapshot_download

        if hub.file is not None:
            return Path(hf_hub_download(hub.repository, hub.file, revision=hub.revision))
        names = HfApi().list_repo_files(hub.repository, revision=hub.revision)
        ignored = [*UNUSED_FORMATS, *_twice(names)]
        return Path(snapshot_download(hub.repository, revision=hub.revision, ignore_patterns=ignored))
    except ImportError as error:
        raise BackendUnavailable(f"{model}: {error}; run `make setup-lvm`") from error
    except Exception as error:  # of many kinds; the message of each says what is wrong
        raise BackendUnavailable(
            f"{model}: the weights {name} are neither a local path nor in the hub's cache, and the hub "
            f"does not give them ({_brief(error)}); mend `weights` or `revision` in the manifest, "
            "run `make weights` where the hub can be reached, or set `weights` to a local folder"
        ) from error


def is_whole(folder: Path) -> bool:
    """Whether a folder has all of its weight files; a download that broke off leaves some."""
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
    """Turn an error of a library while `weights` are loaded into one line: model, path, fix.

    Raises BackendUnavailable (missing), CorruptArtifact (damaged), DataError (another architecture).
    """
    try:
        yield
    except Lass3dError:
        raise
    except Exception as error:
        raise _explained(error, model, weights) from error


def check_keys(model: str, weights: object, missing: Collection[str], unexpected: Collection[str]) -> None:
    """Refuse a checkpoint with missing or unexpected parameters. Raises DataError."""
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
    """The one line for a user that stands for `error`."""
    brief = _brief(error)
    if isinstance(error, ImportError):
        return BackendUnavailable(f"{model}: {brief}; run `make setup-lvm`")
    if type(error).__name__ == "OutOfMemoryError":
        return BackendUnavailable(
            f"{model}: {weights} does not fit into the GPU's memory; free some or set run.device to `cpu`"
        )
    damaged = damaged_file(Path(str(weights)))
    if damaged or isinstance(error, _CUT_OFF):
        return CorruptArtifact(
            f"{model}: {damaged or weights} is cut off or damaged ({brief}); download it again"
        )
    if isinstance(error, OSError):
        return BackendUnavailable(f"{model}: {weights} cannot be read ({brief}); complete the folder")
    return DataError(
        f"{model}: {weights} does not fit this model ({type(error).__name__}: {brief}); "
        "name the weights that belong to it"
    )


def _brief(error: Exception) -> str:
    """The message of `error` on one line of at most 160 characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= 160 else text[:157] + "..."


_CUT_OFF = (pickle.UnpicklingError, EOFError, zipfile.BadZipFile, json.JSONDecodeError, UnicodeDecodeError)


def damaged_file(path: Path) -> Path | None:
    """The first file at or below `path` that is not whole by its own format, None if all are whole."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return next((file for file in files if file.is_file() and _is_damaged(file)), None)


def _is_damaged(file: Path) -> bool:
    match file.suffix:
        case ".json":
            try:
                json.loads(file.read_bytes())
            except ValueError:
                return True
        case ".safetensors":
            return not _is_whole_safetensors(file)
        case _:  # PyTorch saves ZIP archives under any name
            with file.open("rb") as content:
                is_archive = content.read(4) == b"PK\x03\x04"
            return is_archive and not zipfile.is_zipfile(file)
    return False


def _is_whole_safetensors(file: Path) -> bool:
    """Whether the file has the length that its header says: 8 bytes of size, the header, the tensors."""
    with file.open("rb") as content:
        size = int.from_bytes(content.read(8), "little")
        if size > file.stat().st_size:
            return False
        try:
            header = json.loads(content.read(size))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, TypeError, KeyError, AttributeError):
            return False
    return file.stat().st_size == 8 + size + max(ends, default=0)


def _cached(hub: HubName) -> Path | None:
    """The hub's copy on this disk; None if there is none or it is not whole."""
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
    """The pickled weights of a repository that also has them as safetensors."""
    has_safetensors = any(name.endswith(".safetensors") for name in names)
    return [
        name
        for name in names
        if has_safetensors and name.endswith((".bin", ".pt", ".pth", ".bin.index.json"))
    ]
