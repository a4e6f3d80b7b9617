from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from lass3d_core import __version__
from train.runs import environment


def test_versions_are_those_that_run() -> None:
    packages = environment.environment(torch.device("cpu"))["packages"]
    assert packages["lass3d"] == __version__ and packages["torch"] == torch.__version__


def test_a_package_below_the_repository_of_another_project_has_no_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@x"]
    subprocess.run([*theirs, "init", "-q"], check=True)
    subprocess.run([*theirs, "commit", "-q", "--allow-empty", "-m", "theirs"], check=True)
    for place, known in (("", True), (".venv/site-packages", False)):
        module = tmp_path / place / "train" / "runs" / "environment.py"
        module.parent.mkdir(parents=True)
        monkeypatch.setattr(environment, "__file__", str(module))
        assert (environment._revision() is not None) == known
