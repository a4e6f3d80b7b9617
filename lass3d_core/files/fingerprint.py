"""The record of what an artifact was made from: its digest, and the reasons why two records differ."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

from lass3d_core.errors import reading
from lass3d_core.files.json_files import read_json, write_json
from lass3d_core.records import FilePart


class Record(TypedDict):
    """Everything that decides an artifact's content; plain JSON."""

    stage: str  # that wrote it
    schema: int  # version of its format
    params: Mapping[str, Any]  # the parameters that the stage uses, nested
    inputs: Mapping[str, str]  # file name -> content digest
    upstream: Mapping[str, str]  # an earlier stage's artifact ("entities 00-000") -> its record's digest


def digest(record: Record) -> str:
    """SHA-256 of the record's canonical JSON, 64 hex digits. The order of keys does not matter."""
    return hashlib.sha256(canonical_json(record).encode()).hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal texts. Raises ValueError for NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def as_record(value: Any) -> Record:
    """Check that `value`, read from a file, is a record. Raises ValueError."""
    kinds = {"stage": str, "schema": int, "params": dict, "inputs": dict, "upstream": dict}
    if not isinstance(value, dict) or value.keys() != kinds.keys():
        raise ValueError("it is not the record of what the file was made from")
    if not all(isinstance(value[key], kind) for key, kind in kinds.items()):
        raise ValueError("the record of what the file was made from holds a value of a wrong type")
    return Record(**value)  # type: ignore[typeddict-item]


def reasons(old: Record, new: Record) -> list[str]:
    """Say why an artifact made as `old` is stale if `new` is wanted, in sentences; none if they agree."""
    before, after = (json.loads(canonical_json(record)) for record in (old, new))
    found = []
    stage, schema = after["stage"], after["schema"]
    if before["stage"] != stage:
        found.append(f"stage: {before['stage']} -> {stage}")
    if before["schema"] != schema:
        found.append(f"the format of {stage} changed: schema {before['schema']} -> {schema}")
    found += _value_changes(before["params"], after["params"], ())
    found += _input_changes(before["inputs"], after["inputs"])
    found += _upstream_changes(before["upstream"], after["upstream"])
    return found


class InputDigests:
    """Content digests of input files, cached on disk so that unchanged files are not read again.

    Decision: the content decides, not path or time, so a copied or touched data set is not stale.
    The cache is keyed by path, size and modification time (ns). A lost or damaged cache only costs time.
    """

    # A file that changed less than this ago is not cached: the clock may not show a second change.
    _GRAIN_NS = 2_000_000_000

    def __init__(self, memory: Path) -> None:
        """Read the cache from the JSON file `memory`, which `save` writes."""
        self._memory = memory
        self._known: dict[str, list[Any]] = _read_memory(memory)
        self._changed = False

    def digest_of(self, part: FilePart) -> str:
        """BLAKE2b-128 of the part's content, 32 hex digits. Raises DataError if it cannot be read."""
        path = part.path
        key = str(replace(part, path=path.absolute()))
        with reading(path, "restore it or point the manifest at the right folder"):
            status = path.stat()
            known = self._known.get(key)
            if known is not None and known[:2] == [status.st_size, status.st_mtime_ns]:
                return str(known[2])
            content = file_digest(part)
        if time.time_ns() - status.st_mtime_ns > self._GRAIN_NS:
            self._known[key] = [status.st_size, status.st_mtime_ns, content]
            self._changed = True
        return content

    def save(self) -> None:
        """Write the cache for the next run. Raises StorageError."""
        if self._changed:
            write_json(self._memory, {"inputs": self._known})
            self._changed = False


def file_digest(part: FilePart) -> str:
    """BLAKE2b-128 of the part's content, 32 hex digits. Raises OSError."""
    content = hashlib.blake2b(digest_size=16)
    left = part.size if part.size is not None else sys.maxsize
    with part.path.open("rb") as file:
        file.seek(part.start)
        while block := file.read(min(left, 1 << 20)):
            content.update(block)
            left -= len(block)
    return content.hexdigest()


def _read_memory(path: Path) -> dict[str, list[Any]]:
    try:
        known = read_json(path)["inputs"].items()
    except (OSError, ValueError, KeyError, AttributeError):
        return {}
    return {key: value for key, value in known if isinstance(value, list) and len(value) == 3}


def _value_changes(old: Any, new: Any, path: tuple[str, ...]) -> list[str]:
    """One sentence per leaf that differs, with its path: "captioner name: palette -> kosmos2"."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in sorted(old.keys() | new.keys()):
            here = (*path, key)
            if key not in new:
                found.append(f"{' '.join(here)}: {_shown(old[key])} is gone")
            elif key not in old:
                found.append(f"{' '.join(here)}: {_shown(new[key])} is new")
            else:
                found += _value_changes(old[key], new[key], here)
        return found
    same = canonical_json(old) == canonical_json(new)  # unlike ==, this distinguishes 1, 1.0 and true
    return [] if same else [f"{' '.join(path)}: {_shown(old)} -> {_shown(new)}"]


def _input_changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    changed, added, gone = _compared(old, new)
    found = []
    if changed:
        found.append(f"{len(changed)} of {_files(len(old), 'input')} changed (first: {changed[0]})")
    if added:
        found.append(f"{_files(len(added), 'new input')} (first: {added[0]})")
    if gone:
        found.append(f"{_files(len(gone), 'input')} no longer used (first: {gone[0]})")
    return found


def _upstream_changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    found = []
    for names, verb in zip(_compared(old, new), ("redone", "added", "removed")):
        if names:
            others = f"{names[0]} and {len(names) - 1} more were" if len(names) > 1 else f"{names[0]} was"
            found.append(f"{others} {verb}")
    return found


def _compared(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[list[str], list[str], list[str]]:
    """The names whose digests differ, the added ones, and those that are gone."""
    changed = sorted(name for name in old.keys() & new.keys() if old[name] != new[name])
    return changed, sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())


def _files(count: int, kind: str) -> str:
    return f"{count} {kind} file{'' if count == 1 else 's'}"


def _shown(value: Any) -> str:
    text = " ".join(value.split()) if isinstance(value, str) else ""
    text = text or json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
