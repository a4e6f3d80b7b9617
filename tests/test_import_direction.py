"""The direction of imports is the architecture; this test is its fence."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for part in ("lass3d_core", "preprocess", "train") for path in (ROOT / part).rglob("*.py")
)

TORCH_HALF = {"voxels", "range_view", "sparse", "nets", "safm", "adapter", "alignment"}
TORCH_HALF |= {"crops", "exploitation", "ema", "label_prior", "losses", "metrics", "parallel", "precision"}
TORCH_HALF |= {"band_mix", "class_bank", "confidences", "phrase_trust", "query", "superpoints", "text_branch"}
FILES_HALF = {
    "manifest",
    "manifest_file",
    "checked_hdf5",
    "pair_index",
    "shards",
    "text_rows",
    "text_table",
    "query_texts",
}
FILES_HALF |= {"datasets", "splits", "fingerprint"}
HEAVY = {
    "transformers",
    "groundingdino",
    "segment_anything",
    "open_clip",
    "torchsparse",
    "spconv",
    "ray",
    "numba",
}


def imported(path: Path) -> set[str]:
    """Every module that a file imports anywhere, as dotted names."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def core_part(path: Path) -> str:
    return path.relative_to(ROOT / "lass3d_core").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_imports_against_the_direction(path: Path) -> None:
    package, names = path.relative_to(ROOT).parts[0], imported(path)
    roots = {name.split(".")[0] for name in names}
    core = {name.split(".")[1] for name in names if name.startswith("lass3d_core.")}
    if package == "lass3d_core":
        assert not roots & {"preprocess", "train"}
        if core_part(path) in TORCH_HALF:
            assert not core & FILES_HALF
        else:
            assert "torch" not in roots
            assert not core & TORCH_HALF
    if package == "preprocess":
        assert "train" not in roots
    if package == "train":
        assert "preprocess" not in roots
    methods = ROOT / "train" / "methods"
    if path.parent == methods and path.name not in ("__init__.py", "contract.py"):
        assert {name for name in names if name.startswith("train.")} <= {
            name for name in names if name.startswith("train.methods.contract")
        }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_packages_are_imported_only_by_the_adapter_that_owns_them(path: Path) -> None:
    owners = {ROOT / "preprocess" / "lvm", ROOT / "lass3d_core" / "sparse"}
    owned = (path.parent in owners and path.name != "__init__.py") or path.name.endswith("_loops.py")
    assert owned or not {name.split(".")[0] for name in imported(path)} & (HEAVY - {"ray"})


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("preprocess.pairs", {"torch", "numba"}),
        ("preprocess.__main__", {"torch"}),
        ("train.__main__", {"transformers", "groundingdino", "segment_anything", "open_clip", "preprocess"}),
    ],
)
def test_a_fresh_interpreter_loads_only_what_it_needs(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(sorted(set(sys.modules) & {absent!r}))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
