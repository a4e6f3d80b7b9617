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


def test_files_are_short() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {path: lines for path, lines in lengths.items() if lines > LINES_OF_A_FILE} == {}


def test_functions_are_short() -> None:
    lengths = {
        f"{path.relative_to(ROOT)}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert {name: lines for name, lines in lengths.items() if lines > LINES_OF_A_FUNCTION} == {}
