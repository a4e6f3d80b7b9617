"""The files of a folder by the name of their frame, such as `000012` for `000012.jpg`."""

from __future__ import annotations

from pathlib import Path

from lass3d_core.errors import DataError, reading

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Name without suffix -> file, ascending; empty if there is no such folder. No file is opened.

    suffixes: in lower case; the files may have them in any case. Hidden files are left out: a Mac leaves
    `._000012.png` beside `000012.png`.
    Raises DataError if two files have the same name but for the suffix.
    """
    if not folder.is_dir():
        return {}
    found: dict[str, Path] = {}
    with reading(folder):
        paths = sorted(folder.iterdir())
    for path in paths:
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        if path.stem in found:
            raise DataError(f"{found[path.stem]} and {path.name} are files of one frame; delete one of them")
        found[path.stem] = path
    return found
