"""JSON files that both programs write and that a person may edit: configurations, metrics, the pair index."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lass3d_core.errors import DataError
from lass3d_core.files.atomic import write_text
from lass3d_core.files.text_lines import RESTORE, text_of


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


def read_json_of_user(path: Path, if_missing: str = RESTORE) -> Any:
    """Read JSON that a person wrote: UTF-8, with or without a byte order mark.

    Raises DataError, which names file and line, for a comment, a comma too many, a number that is not finite,
    and a key that stands twice in one object.
    """
    text = text_of(path, if_missing)
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        begins = text[error.pos : error.pos + 2].strip()
        note = " (JSON has no comments)" if begins.startswith(("#", "//", "/*")) else ""
        raise DataError(f"{path}, line {error.lineno}: no JSON here, {error.msg}{note}; mend it") from None
    except RecursionError:
        raise DataError(f"{path} is nested too deeply; mend it") from None
    except ValueError as error:  # a whole number of more than 4300 digits
        raise DataError(f"{path} is no JSON ({error}); mend it") from None
    _require_clear(text, path)
    return values


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')


def _require_clear(text: str, path: Path) -> None:
    """Raise DataError for what json.loads takes from `text` and JSON has not: a key twice, NaN, infinity."""
    inside: list[dict[str, int]] = []  # of each object and list that is open: key -> its line
    line, place, last = 1, 0, ""
    for found in _TOKEN.finditer(text):
        token = found[0]
        line, place = line + text.count("\n", place, found.start()), found.start()
        if token in "{[":
            inside.append({})
        elif token in "}]":
            inside.pop()
        elif token == ":":
            key = json.loads(last)
            if key in inside[-1]:
                what = f"the key {key[:60]!r} stands twice, first at line {inside[-1][key]}"
                raise DataError(f"{path}, line {line}: {what}; delete one of them")
            inside[-1][key] = line
        elif token[0] in "-0123456789NI" and not math.isfinite(float(token)):
            raise DataError(f"{path}, line {line}: {token[:40]} is no finite number; mend it")
        last = token


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not a JSON number")


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands there twice")
    return values
