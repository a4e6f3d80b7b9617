"""Errors while the weights of a model are loaded, each as one clear line.

The libraries raise errors of many types, and their messages change. So a file that is cut off is recognised
by its format and not by the message.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lass3d_core.errors import BackendUnavailable, CorruptArtifact, DataError, Lass3dError

_CUT_OFF = (pickle.UnpicklingError, EOFError, zipfile.BadZipFile, json.JSONDecodeError, UnicodeDecodeError)


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


def check_tokenizer(model: str, folder: object, tokenizer: Any) -> None:
    """Refuse a tokenizer without words: transformers 5 makes one where its files are absent."""
    if tokenizer.vocab_size <= len(tokenizer.all_special_ids):
        raise BackendUnavailable(f"{model}: {folder} has no tokenizer files; complete the folder")


def _explained(error: Exception, model: str, weights: object) -> Lass3dError:
    """The one line for a user that stands for `error`."""
    words = brief(error)
    if isinstance(error, ImportError):
        return BackendUnavailable(f"{model}: {words}; run `make setup-lvm`")
    if type(error).__name__ == "OutOfMemoryError":
        return BackendUnavailable(
            f"{model}: {weights} does not fit into the GPU's memory; free some or set run.device to `cpu`"
        )
    damaged = damaged_file(Path(str(weights)))
    if damaged or isinstance(error, _CUT_OFF):
        file = damaged or weights
        return CorruptArtifact(f"{model}: {file} is cut off or damaged ({words}); download it again")
    if isinstance(error, OSError):
        return BackendUnavailable(f"{model}: {weights} cannot be read ({words}); complete the folder")
    return DataError(
        f"{model}: {weights} does not fit this model ({type(error).__name__}: {words}); "
        "name the weights that belong to it"
    )


def brief(error: Exception) -> str:
    """The message of `error` on one line of at most 160 characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= 160 else text[:157] + "..."


def damaged_file(path: Path) -> Path | None:
    """The first file at or below `path` that is not whole by its own format, None if all are whole."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    with suppress(OSError):
        return next((file for file in files if file.is_file() and _is_damaged(file)), None)
    return None


def _is_damaged(file: Path) -> bool:
    if file.suffix == ".safetensors":
        return not _is_whole_safetensors(file)
    if file.suffix == ".json":
        try:
            json.loads(file.read_bytes())
        except ValueError:
            return True
    with file.open("rb") as content:
        is_archive = content.read(4) == b"PK\x03\x04"  # PyTorch saves ZIP archives under any name
    return is_archive and not zipfile.is_zipfile(file)


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
