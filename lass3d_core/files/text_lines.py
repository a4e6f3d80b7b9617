"""Text files that people write or export, read in one way: split lists, calib.txt, poses, intrinsics.

UTF-8, with or without a byte order mark; lines end as on Linux, Windows or a Mac. A comment begins with `#`
at the start of a line or after a space. Blank lines and comments are left out; messages name the line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lass3d_core.errors import DataError, reading

RESTORE = "restore it or mend the manifest"

_ENDS = re.compile(r"\r\n|\r|\n")
_COMMENT = re.compile(r"(^|\s)#.*")
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")


class Line(NamedTuple):
    """A line with content. number: counted from 1, as an editor counts. text: without spaces at its ends."""

    number: int
    text: str


def text_of(path: Path, if_missing: str = RESTORE) -> str:
    """The text of a UTF-8 file, without a byte order mark. Raises DataError; if_missing: what to do then."""
    with reading(path, if_missing):
        content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # UTF-16 puts a zero byte beside each letter
        kind = (
            "UTF-16" if content.count(0) * 3 > len(content) or content[:2] in _UTF16 else "another encoding"
        )
        raise DataError(f"{path} is no UTF-8 text ({kind}, or no text at all); save it as UTF-8")
    return text


_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def text_lines(path: Path, if_missing: str = RESTORE) -> list[Line]:
    """The lines of `path` that hold something, in order. Raises DataError."""
    lines = enumerate(_ENDS.split(text_of(path, if_missing)), start=1)
    stripped = (Line(number, _COMMENT.sub("", text).strip()) for number, text in lines)
    return [line for line in stripped if line.text]


def numbers(
    texts: Sequence[str], where: str, count: int | None, remedy: str, what: str = "", finite: bool = True
) -> np.ndarray:
    """`count` numbers (count,) float64, or as many as there are, from the words `texts`. Raises DataError.

    where: file and line, see `at`. what: what the numbers are, for the message. finite: NaN, infinity and
    numbers beyond a float are refused.
    """
    found = []
    for text in texts:
        found.append(value := _number(text))
        if value is None or (finite and not math.isfinite(value)):
            raise DataError(f"{where}: {_wrong_number(text, value)}; {remedy}")
    if count is not None and len(found) != count:
        what = f"{what} needs" if what else "expected"
        raise DataError(f"{where}: {what} {count} numbers, found {len(found)}; {remedy}")
    return np.array(found, np.float64)


def at(path: Path, line: Line) -> str:
    """How a message names a line."""
    return f"{path}, line {line.number}"


def _number(text: str) -> float | None:
    if not text.isascii() or "_" in text:  # which float() takes
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _wrong_number(text: str, value: float | None) -> str:
    if _DECIMAL_COMMA.fullmatch(text):
        return f"{text!r} has a decimal comma, write {text.replace(',', '.')}"
    shown = repr(text if len(text) <= 40 else text[:37] + "...")
    return f"{shown} is no number" if value is None else f"{shown} is no finite number"
