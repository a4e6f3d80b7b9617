"""The comment `<!-- made: NAME -->`, alone on a line of a page: what the code says, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import python_pages
import settings_pages

_MARK = re.compile(r"^<!-- made: (?P<name>\S+) -->$", re.MULTILINE)

MADE: dict[str, Callable[[Path], str]] = {
    "python": python_pages.contents,
    "run-settings": settings_pages.run_settings,
    "method-settings": settings_pages.method_settings,
    "manifest-settings": settings_pages.manifest_settings,
    "model-settings": settings_pages.model_settings,
    "presets": settings_pages.presets,
}


def filled(markdown: str, root: Path) -> str:
    """The page with the made text below the comments. Raises KeyError for a name that is not in MADE."""
    return _MARK.sub(lambda found: MADE[found["name"]](root), markdown)
