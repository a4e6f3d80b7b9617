"""Every path, module and heading that the documents and docstrings name exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import lass3d_core

ROOT = Path(__file__).parents[1]
ROOMS = ("lass3d_core", "preprocess", "train", "docs", "benchmarks", "tests")
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
OTHERS = [ROOT / name for name in ("Makefile", "setup.cfg", "Dockerfile", "data_manifest.yaml", ".ci/run")]

PATH = re.compile(rf"(?<![\w/.{{-])(?:{'|'.join(ROOMS)})(?:/[\w*.-]+)+")
MODULE = re.compile(r"(?<![\w/.-])(?:lass3d_core|preprocess|train|benchmarks)(?:\.[a-z]\w*)+")
FILE = re.compile(r"(?<![\w/.*-])\w+\.py\b")
LINK = re.compile(r"\]\(([^)\s]+)\)")
BASENAMES = {path.name for path in SOURCES}
OFFICIAL = {"evaluate_semantics.py", "evaluate_semantic_label.py", "validate_submission.py"}
"""Scripts of the benchmarks. Tests name more of them, so bare file names in tests are not looked up."""


def prose(path: Path) -> str:
    """The whole text of a document; the docstrings and comments of a Python file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, documented)]
    comments = re.findall(r"#.*", text)
    return "\n".join([*(ast.get_docstring(node) or "" for node in nodes), *comments])


def exists(name: str) -> bool:
    """If a path, a module without its suffix, or a pattern (`docs/*.md`) leads to a file."""
    name = name.rstrip(".")
    return any(ROOT.glob(name.rstrip("/"))) or (ROOT / f"{name}.py").is_file()


def is_module(name: str) -> bool:
    """If the first two parts are a module or a folder; what follows may be a class or a function."""
    package, second = name.split(".")[:2]
    path = ROOT / package / second
    return path.is_dir() or path.with_suffix(".py").is_file() or name == "lass3d_core.load"


def heading_ids(document: Path) -> set[str]:
    """The anchors of a Markdown file, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def missing_names(path: Path) -> list[str]:
    """The paths and modules that a file names and that do not exist."""
    text = prose(path)
    missing = [name for name in PATH.findall(text) if not exists(name)]
    missing += [name for name in MODULE.findall(text) if not name.endswith(".py") and not is_module(name)]
    if path.relative_to(ROOT).parts[0] != "tests":
        missing += [name for name in FILE.findall(text) if name not in BASENAMES | OFFICIAL]
    return missing


def test_every_path_and_module_that_a_file_names_exists() -> None:
    files = [*DOCUMENTS, *SOURCES, *OTHERS]
    found = {str(path.relative_to(ROOT)): missing_names(path) for path in files}
    assert {path: names for path, names in found.items() if names} == {}


def test_every_room_is_described_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = [path.parent for package in ROOMS[:3] for path in (ROOT / package).glob("*/__init__.py")]
    assert [str(room.name) for room in rooms if f"| `{room.relative_to(ROOT)}/` |" not in text] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    broken = []
    for link in LINK.findall(document.read_text(encoding="utf-8")):
        if link.startswith("http"):
            continue
        name, _, heading = link.partition("#")
        target = document.parent / name if name else document
        if not target.exists() or (heading and heading not in heading_ids(target)):
            broken.append(link)
    assert broken == []


def test_every_name_of_the_table_of_symbols_stands_in_the_file_beside_it() -> None:
    rows = [re.split(r" {2,}", line) for line in (lass3d_core.__doc__ or "").splitlines()]
    table = [row for row in rows if len(row) == 4 and row[3].endswith(".py")]
    assert len(table) > 15
    for _, _, names, path in table:
        text = (ROOT / path).read_text(encoding="utf-8")
        assert [name for name in names.split(", ") if name.rpartition(".")[2] not in text] == [], path
