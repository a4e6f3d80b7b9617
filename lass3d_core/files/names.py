"""Names that become parts of paths, and so must not lead out of a folder."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[\w-][\w.-]{0,99}")


def is_plain(name: str) -> bool:
    """Whether `name` has 1 to 100 letters, digits, "_", "-" or, except in the first place, "."."""
    return _PLAIN.fullmatch(name) is not None


def is_plain_path(name: str) -> bool:
    """Whether `name` is a sequence of plain names with slashes between, such as a scan id."""
    return all(map(is_plain, name.split("/")))
