"""The rules of the house: few modules at the top of a package, short files, short functions."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("lass3d_core", "preprocess", "train")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]

MODULES_AT_THE_TOP = 8
LINES_OF_A_FILE = 350
LINES_OF_A_FUNCTION = 60


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_has_few_modules_at_its_top(package: str) -> None:
    modules = [path.stem for path in (ROOT / package).glob("*.py") if not path.stem.startswith("__")]
    assert len(modules) <= MODULES_AT_THE_TOP, modules


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LINES_OF_A_FILE
    functions = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {name: lines for name, lines in lengths.items() if lines > LINES_OF_A_FUNCTION} == {}
