"""Names that become parts of paths: none of them may lead out of the folder that it is looked for in."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[\w-][\w.-]{0,99}")


def is_plain(name: str) -> bool:
    """Whether `name` is letters, digits, "_", "-" and, but for the first, "."; at most a hundred."""
    return _PLAIN.fullmatch(name) is not None


def is_plain_path(name: str) -> bool:
    """Whether `name` is plain names with a slash between them, as scan ids are."""
    return all(map(is_plain, name.split("/")))
