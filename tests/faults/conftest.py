"""A server that forks what is to be damaged, and a tiny project with every stage and a run done."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.fault_injection.project import TinyProject
from benchmarks.fault_injection.warm import Warm


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    with Warm() as server:
        yield server


@pytest.fixture(scope="session")
def finished(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> TinyProject:
    """The finished project. Do not change it: use `project`."""
    project = TinyProject(tmp_path_factory.mktemp("faults") / "project", warm)
    project.make_everything()
    return project


@pytest.fixture
def project(finished: TinyProject, tmp_path: Path) -> TinyProject:
    """A copy of the finished project."""
    shutil.copytree(finished.folder, tmp_path / "project")
    return TinyProject(tmp_path / "project", finished.warm)
