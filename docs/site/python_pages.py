"""The pages of the Python reference: one for each folder of modules, with all its public names."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGES = ("lass3d_core", "preprocess", "train")


def all_pages(root: Path) -> dict[str, str]:
    """Path in docs/ -> text, in the language of mkdocstrings, which fills in signatures and docstrings."""
    return {_page(folder.relative_to(root)): _text(folder, root) for folder in rooms(root)}


def rooms(root: Path) -> list[Path]:
    """Every folder of modules, in the order of the tree."""
    return [found.parent for package in PACKAGES for found in sorted((root / package).rglob("__init__.py"))]


def place_of(path: str) -> str | None:
    """Where the site describes a module, by its path below the root: "python/train.md#train.loop"."""
    parts = Path(path).with_suffix("").parts
    if not path.endswith(".py") or parts[0] not in PACKAGES:
        return None
    is_room = parts[-1] == "__init__"
    folder = Path(*parts[:-1])
    return f"{_page(folder)}#{'.'.join(folder.parts if is_room else parts)}"


def contents(root: Path) -> str:
    """The table of all pages, each with the first line of its folder."""
    lines = ["| folder | holds |", "|---|---|"]
    for folder in rooms(root):
        name = folder.relative_to(root)
        first = (_docstring(folder / "__init__.py") or "").split("\n\n")[0].replace("\n", " ")
        lines.append(f"| [`{'.'.join(name.parts)}`]({_page(name)}) | {first.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def _page(folder: Path) -> str:
    return f"python/{'.'.join(folder.parts)}.md"


def _text(folder: Path, root: Path) -> str:
    room = ".".join(folder.relative_to(root).parts)
    modules = [path for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")]
    of_room = f"# {room}\n\n::: {room}\n    options: {{show_root_heading: false}}"
    return "\n\n".join([of_room, *(f"::: {room}.{path.stem}" for path in modules)]) + "\n"


def _docstring(path: Path) -> str | None:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
