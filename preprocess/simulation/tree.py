"""The folders of a simulated data set, and the record beside them: the settings that they were made from.

The record is written before the first scan. Folders that it names belong to the simulator and may be
replaced.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lass3d_core.errors import DataError
from lass3d_core.files.atomic import storage_errors, write_text
from lass3d_core.files.checked_json import parse_json
from lass3d_core.files.names import is_plain


@dataclass(frozen=True)
class SimulationReport:
    """What a simulator did. renewed: why scans of an earlier run were removed, in words, or None."""

    root: Path
    written: int
    kept: int
    renewed: str | None

    def __str__(self) -> str:
        why = f" (all anew: {self.renewed})" if self.renewed else ""
        return f"{self.written} scans written, {self.kept} were there, in {self.root}{why}"


def settle(record: Path, parent: Path, names: Sequence[str], made_from: Mapping[str, Any]) -> str | None:
    """Prepare the folders `names` below `parent` for a tree that is made from the settings `made_from`.

    A tree of other settings is removed; returned is why, in words, or None.
    Raises DataError for a folder that the simulator did not write, StorageError.
    """
    wanted = {**made_from, parent.name: list(names)}
    found = _read(record, parent.name)
    if found == wanted:
        return None
    ours = found[parent.name] if found else []
    for name in names:
        if name not in ours and (parent / name).exists():
            raise DataError(
                f"{parent / name} was not written by the simulator; choose another root or other splits"
            )
    with storage_errors(parent):
        for name in ours:
            if (parent / name).exists():
                shutil.rmtree(parent / name)
    write_text(record, json.dumps(wanted, indent=1, sort_keys=True) + "\n")
    return _differences(found, made_from) if found else None


def _read(record: Path, folders: str) -> dict | None:
    try:
        found = {folders: [], **parse_json(record.read_bytes())}
        # The folders are removed: a name such as `../data` must not get through.
        if not all(isinstance(name, str) and is_plain(name) for name in found[folders]):
            raise ValueError("it names folders elsewhere")
        return found
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise DataError(
            f"{record} is damaged; delete it together with the folder `{folders}` beside it"
        ) from None


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    changed = [key for key in wanted if found.get(key) != wanted[key]]
    return ", ".join(f"{key} is {wanted[key]}, was {found.get(key)}" for key in changed) or "other folders"
