"""JSON files that we write and read again: a value that changed since, by a flip or by hand, is noticed.

The last key, "sha256", is the digest of all the others; a stranger may ignore it. Spaces between the values
are not covered: they say nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lass3d_core.files.atomic import write_text

_DIGEST = "sha256"


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write `values`, plain JSON without the key "sha256", whole or not at all. Raises StorageError."""
    content = {**values, _DIGEST: _digest(values)}
    write_text(path, json.dumps(content, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """What `write_json` wrote. Raises ValueError for anything else, OSError where it cannot be read."""
    values = parse_json(path.read_bytes())
    if not isinstance(values, dict) or values.pop(_DIGEST, None) != _digest(values):
        raise ValueError("its values do not match its checksum")
    return values


def parse_json(content: bytes) -> Any:
    """`content` as json.loads reads it, but for constants that JSON has not. Raises ValueError alone."""
    try:
        return json.loads(content, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")


def _digest(values: Mapping[str, Any]) -> str:
    """Of the values as they are read back: 1 and 1.0 differ, the order of keys does not matter."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
