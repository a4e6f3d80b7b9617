"""JSON files that both programs write and that a person may edit: configurations, metrics, the pair index."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lass3d_core.files.atomic import write_text


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write `values` (plain JSON) to `path` by an atomic rename. Raises StorageError."""
    write_text(path, json.dumps(values, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read the JSON object in `path`.

    Raises ValueError, which names the line or the key, if it is no JSON object; OSError if it cannot be read.
    """
    values = parse_json(path.read_bytes())
    if not isinstance(values, dict):
        raise ValueError("it holds no JSON object")
    values.pop("sha256", None)  # earlier versions wrote a checksum here
    return values


def parse_json(content: bytes) -> Any:
    """Parse strict JSON: no NaN, no infinity, no key twice in an object. Raises ValueError."""
    try:
        return json.loads(content, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not a JSON number")


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands there twice")
    return values
