"""Where the weights of a model are, and how they come here.

`weights` in the manifest is one of three: a local folder or file, a hub id
(`microsoft/kosmos-2-patch14-224`), or a file of a hub id
(`ShilongLiu/GroundingDINO/groundingdino_swint_ogc.pth`). A local path is taken first.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from functools import lru_cache
from glob import escape
from pathlib import Path
from typing import NamedTuple

from lass3d_core.errors import BackendUnavailable
from lass3d_core.files.fingerprint import file_digest
from lass3d_core.records import FilePart
from preprocess.lvm.load_errors import brief

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")
UNUSED_FORMATS = ("*.h5", "*.msgpack", "*.onnx", "*.ot", "*.tflite", "*.mlmodel", "onnx/*", "openvino/*")
"""The same weights for other frameworks; they are not downloaded."""

ABSENT = "absent"  # the content of a file that is not there

_HUB_ID = re.compile(r"(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)(?:/(?P<file>.+))?")


class HubName(NamedTuple):
    """Weights on the hub: a whole repository, or one file of it."""

    repository: str
    file: str | None
    revision: str


def local_path(weights: str, revision: str, model: str) -> Path:
    """The local folder or file of `weights`, if need be downloaded. Raises BackendUnavailable."""
    if found := found_locally(weights, revision):
        return found
    if hub := hub_name(weights, revision):
        return download(hub, model)
    raise BackendUnavailable(f"{model}: the weights {weights} do not exist; mend `weights` in the manifest")


def found_locally(weights: str, revision: str | None) -> Path | None:
    """The local path, or the hub's cached copy if it is whole, else None. Uses no network."""
    path = Path(weights).expanduser()
    if path.exists():
        return path.resolve()
    hub = hub_name(weights, revision)
    return None if hub is None else _cached(hub)


def hub_name(weights: str, revision: str | None) -> HubName | None:
    """`weights` as a name on the hub; None if it can only be a path, or without a revision."""
    match = None if revision is None else _HUB_ID.fullmatch(weights)
    return HubName(match["id"], match["file"], revision) if match and revision else None


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
            f"does not give them ({brief(error)}); mend `weights` or `revision` in the manifest, "
            "run `make weights` where the hub can be reached, or set `weights` to a local folder"
        ) from error


def content_of(path: Path) -> str:
    """Digest of a file and of those beside it that an ONNX file keeps its tensors in; "absent" without it.

    They begin with its whole name: street.onnx.data, street.onnx_data.
    """
    found = sorted(path.parent.glob(f"{escape(path.name)}*")) if path.is_file() else []
    stats = tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in found if file.is_file())
    return _content_of(stats) if stats else ABSENT


@lru_cache(maxsize=64)
def _content_of(stats: tuple[tuple[Path, int, int], ...]) -> str:
    """A digest for files with their sizes and times, which only say when it must be made again."""
    digests = "".join(file_digest(FilePart(path)) for path, _, _ in stats)
    return hashlib.blake2b(digests.encode(), digest_size=16).hexdigest()


def is_whole(folder: Path) -> bool:
    """Whether a folder has all of its weight files; a download that broke off leaves some."""
    try:
        indices = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.index.json")]
        wanted = [folder / name for index in indices for name in index["weight_map"].values()]
    except (ValueError, KeyError):
        return False
    some = any(path.suffix in WEIGHT_SUFFIXES for path in folder.rglob("*"))
    return some and all(path.exists() for path in wanted)


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
    pickled = [name for name in names if name.endswith((".bin", ".pt", ".pth", ".bin.index.json"))]
    return pickled if any(name.endswith(".safetensors") for name in names) else []
