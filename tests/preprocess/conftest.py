"""A tiny simulated street, taken through every stage once; tests work on copies of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lass3d_core.manifest.reading import read_manifest
from preprocess.__main__ import main
from preprocess.project import Project

MANIFEST = {
    "schema": 1,
    "default": "street",
    "datasets": {
        "street": {
            "reader": "semantickitti",
            "root": "data",
            "simulate": {"train": 6, "val": 2, "test": 2},
            "splits": {"train": ["00"], "val": ["01"], "test": ["02"]},
        }
    },
    "image_captions": {"name": "palette"},
    "entities": {"name": "palette", "vocabulary": "captions"},
    "text_embeddings": {"name": "hashing"},
    "shard_scans": 3,
    "workers": 1,
}


class Street:
    """A folder with a manifest, a simulated street and its artifacts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = folder / "data_manifest.yaml"
        self.artifacts = folder / "artifacts" / "street"
        self.sequences = folder / "data" / "sequences"

    def set(self, **values: Any) -> None:
        """Change keys of the manifest; `a__b=1` sets key b of a."""
        content = yaml.safe_load(self.manifest.read_text())
        for name, value in values.items():
            *parents, key = name.split("__")
            place = content
            for parent in parents:
                place = place.setdefault(parent, {})
            place[key] = value
        self.manifest.write_text(yaml.safe_dump(content))

    @property
    def project(self) -> Project:
        return Project(*read_manifest(self.manifest))

    def run(self, *arguments: str) -> int:
        """The command line on this street; returns the exit status."""
        return main([*arguments, "--manifest", str(self.manifest)])

    def content(self) -> dict[str, bytes]:
        """Every shard, table and index, by its name below the artifacts."""
        files = (path for kind in ("*.jsonl", "*.h5", "*.json") for path in self.artifacts.rglob(kind))
        return {
            str(path.relative_to(self.artifacts)): path.read_bytes()
            for path in files
            if path.name != "inputs.json"
        }


@pytest.fixture(scope="session")
def finished_street(tmp_path_factory: pytest.TempPathFactory) -> Street:
    """Every stage done. Not to be changed: take `street`."""
    street = Street(tmp_path_factory.mktemp("street"))
    street.manifest.write_text(yaml.safe_dump(MANIFEST))
    assert street.run("captions") == 0
    assert street.run("pairs") == 0
    return street


@pytest.fixture
def street(finished_street: Street, tmp_path: Path) -> Street:
    """A copy with every stage done."""
    shutil.copytree(finished_street.folder, tmp_path / "copy")
    return Street(tmp_path / "copy")


@pytest.fixture
def own_street(street: Street) -> Street:
    """A copy with every stage done that the manifest does not simulate: what a test removes stays away."""
    content = yaml.safe_load(street.manifest.read_text())
    del content["datasets"]["street"]["simulate"]
    street.manifest.write_text(yaml.safe_dump(content))
    return street


@pytest.fixture
def untouched_street(street: Street) -> Street:
    """A copy with the data alone."""
    shutil.rmtree(street.artifacts)
    return street


@pytest.fixture
def one_line(capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """The error line that was printed since the last call; stderr must hold nothing else but warnings."""

    def line() -> str:
        lines = capfd.readouterr().err.splitlines()
        (only,) = [line for line in lines if not line.startswith("warning: ")]
        assert only.startswith("error: ")
        return only

    return line
