"""The doctor starts whatever package is missing or broken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from preprocess.doctor.packages import installed

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("package", ["h5py", "scipy", "PIL", "yaml", "tqdm", "numpy", "pydantic"])
def test_a_broken_package_is_named(package: str, tmp_path: Path) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("raise ImportError('libfoo.so: cannot open')\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-m", "preprocess", "doctor"]
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert found.returncode == 2 and "Traceback" not in found.stderr, found.stderr
    broken = [line for line in found.stdout.splitlines() if line.startswith("FIX")]
    assert any(f"is broken: import {package}: ImportError: libfoo.so" in line for line in broken)


def test_a_package_that_is_not_there_is_named_with_the_remedy() -> None:
    found = installed("no-such-package", ">=2", "make setup")
    assert found == ("FIX", "no-such-package", "not installed, needs >=2; make setup")


def test_a_version_outside_the_range_is_named() -> None:
    found = installed("numpy", ">=99", "make setup")
    assert found.mark == "FIX" and "needs >=99" in found.detail
