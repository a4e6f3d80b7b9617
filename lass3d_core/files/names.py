"""Names of files: those that must not lead out of a folder, and those that people read."""

from __future__ import annotations

import re
from pathlib import Path

_PLAIN = re.compile(r"[\w-][\w.-]{0,99}")


def is_plain(name: str) -> bool:
    """Whether `name` has 1 to 100 letters, digits, "_", "-" or, except in the first place, "."."""
    return _PLAIN.fullmatch(name) is not None


def is_plain_path(name: str) -> bool:
    """Whether `name` is a sequence of plain names with slashes between, such as a scan id."""
    return all(map(is_plain, name.split("/")))


def shortened(path: Path, folder: Path | None = None) -> Path:
    """`path` relative to `folder` if it lies below it, else as it is. folder: None for the current one."""
    folder = Path.cwd() if folder is None else folder
    return path.relative_to(folder) if path.is_relative_to(folder) else path
