"""The direction of imports, as docs/architecture.md describes it. Each rule is about folders."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    str(path.relative_to(ROOT))
    for part in ("lass3d_core", "preprocess", "train")
    for path in (ROOT / part).rglob("*.py")
)

NUMPY_ROOMS = [
    f"lass3d_core.{room}"
    for room in (
        *("manifest", "files", "geometry", "datasets", "clouds"),
        *("words", "progress", "viewer", "plugins"),
    )
]
TORCH_ROOMS = [f"lass3d_core.{room}" for room in ("paper", "sparse", "nets", "compute")]
CORE_TOP = [
    f"lass3d_core.{module}"
    for module in ("records", "labels", "errors", "pool", "program", "settings", "signals", "plain_yaml")
]
MANIFEST_AND_FILES = ["lass3d_core.manifest", "lass3d_core.files", "lass3d_core.datasets"]
HEAVY = ["transformers", "groundingdino", "segment_anything", "open_clip", "torchsparse", "spconv", "triton"]

RULES = {  # a folder: what no file in it may import
    "lass3d_core": ["preprocess", "train"],
    "preprocess": ["train"],
    "train": ["preprocess"],
    "train/methods": [f"train.{room}" for room in ("data", "runs", "outputs", "presets", "tables", "report")],
    **{
        module.replace(".", "/"): ["torch", *TORCH_ROOMS, "lass3d_core.model"]
        for module in NUMPY_ROOMS + CORE_TOP
    },
    **{room.replace(".", "/"): MANIFEST_AND_FILES for room in TORCH_ROOMS},
    # The finished model needs neither program: of files it may use the atomic write alone.
    "lass3d_core/model": ["lass3d_core.manifest", "lass3d_core.datasets", "lass3d_core.files.shards", "h5py"],
}
TRACKERS = ["wandb", "trackio", "mlflow"]
OWNERS = {
    "preprocess/lvm": HEAVY,
    "lass3d_core/sparse": HEAVY,
    "preprocess/engine": ["ray"],
    "train/trackers": TRACKERS,
    "train/outputs": ["rerun"],
}


def imported(path: str) -> set[str]:
    """Every module that a file imports anywhere, as dotted names."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def inside(name: str, package: str, separator: str = ".") -> bool:
    return name == package or name.startswith(package + separator)


def found(path: str, forbidden: list[str]) -> list[str]:
    return [name for name in imported(path) for package in forbidden if inside(name, package)]


def test_no_file_imports_against_the_direction() -> None:
    against = {
        (path, name)
        for path in SOURCES
        for folder, forbidden in RULES.items()
        if inside(path.removesuffix(".py"), folder, "/")
        for name in found(path, forbidden)
    }
    assert against == set()


def test_heavy_packages_are_imported_only_in_the_room_that_owns_them() -> None:
    heavy = {(path, name) for path in SOURCES for name in found(path, [*HEAVY, *TRACKERS, "ray", "rerun"])}
    owned = {
        (path, name)
        for path, name in heavy
        for room, packages in OWNERS.items()
        if inside(path, room, "/") and name.split(".")[0] in packages
    }
    assert heavy == owned


def test_a_method_imports_no_other_method() -> None:
    methods = [path for path in SOURCES if Path(path).parent == Path("train/methods")]
    shared = ("train.methods", "train.methods.contract", "train.methods.parts")
    others = {
        (path, name)
        for path in methods
        for name in found(path, ["train.methods"])
        if Path(path).stem != "__init__"
        and name not in shared
        and not any(inside(name, one) for one in shared[1:])
    }
    assert others == set()


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("preprocess.stages.pairs", {"torch", "numba"}),
        ("preprocess.commands", {"torch"}),
        ("preprocess.__main__", {"numpy"}),  # Ctrl-C is quiet from the first import on
        ("train.__main__", {"numpy"}),
        ("lass3d_core.model.__main__", {"numpy"}),
        ("train.commands.commands", {*HEAVY[:4], *TRACKERS, "rerun", "preprocess"}),
    ],
)
def test_a_fresh_interpreter_loads_only_what_it_needs(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(sorted(set(sys.modules) & {absent!r}))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
