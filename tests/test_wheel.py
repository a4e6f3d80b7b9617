"""The wheel holds every file of the three packages, and its commands run from it, outside the checkout.

It is built from the source archive, as an index builds it. It is installed into an empty environment that
borrows the other packages of this one, so no network is needed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lass3d_core import __version__
from tests.lass3d_core.model.conftest import CARD, write_tiny_model

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PACKAGES = ("lass3d_core", "preprocess", "train")
COMMANDS = ("lass3d-preprocess", "lass3d-train", "lass3d-predict")

THEIRS = "raise SystemExit('this is a file of the user')\n"


def built(what: str, source: Path, into: Path) -> Path:
    code = f"from setuptools import build_meta; build_meta.build_{what}({str(into)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (made,) = into.glob({"sdist": "*.tar.gz", "wheel": "*.whl"}[what])
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the source archive of a copy of the checkout, in which nothing of an older build lies."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "copy"
    copy.mkdir()
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, copy / name)
    with tarfile.open(built("sdist", copy, folder)) as archive:
        archive.extractall(folder, filter="data")
    return built("wheel", folder / f"lass3d-{__version__}", folder)


def clean() -> dict[str, str]:
    """The variables of this process without those of Python, which could lead to the checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel alone, which sees the other packages of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = str(folder / "bin" / "python")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"]
    subprocess.run([*install, str(wheel)], env=clean(), check=True, capture_output=True)
    # A folder that a .pth file names is searched last, and its own .pth files are not read: the editable
    # install of this checkout stays out.
    borrowed = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "borrowed.pth").write_text("\n".join(borrowed))
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A user's folder with files that are called as our packages are."""
    for name in ("train.py", "preprocess.py", "lass3d_core.py"):
        (tmp_path / name).write_text(THEIRS)
    write_tiny_model(tmp_path / "model.safetensors")
    return tmp_path


def run(environment: Path, place: Path, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    called = [str(environment / "bin" / command), *arguments]
    return subprocess.run(called, cwd=place, env=clean(), capture_output=True, text=True)


def test_the_wheel_holds_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    tree = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == tree


def test_modules_and_their_files_come_from_the_wheel(environment: Path, place: Path) -> None:
    code = (
        "import sys; del sys.path[0]\n"
        "import lass3d_core, preprocess.__main__, train.__main__\n"
        "print(lass3d_core.__file__, preprocess.__file__, train.__file__)"
    )
    found = run(environment, place, "python", "-c", code).stdout.split()
    assert len(found) == 3 and all(Path(path).is_relative_to(environment) for path in found)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs_beside_files_that_are_called_as_our_packages_are(
    environment: Path, place: Path, command: str
) -> None:
    told = run(environment, place, command, "--version")
    assert (told.returncode, told.stdout) == (0, f"lass3d {__version__}\n"), told.stderr


@pytest.mark.parametrize("command", [("lass3d-preprocess", "status"), ("lass3d-train", "runs")])
def test_without_a_manifest_a_command_says_what_to_give(
    environment: Path, place: Path, command: tuple[str, str]
) -> None:
    ended = run(environment, place, *command)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert "data_manifest.yaml does not exist; give MANIFEST=path (--manifest)" in ended.stderr


def test_predict_labels_a_scan(environment: Path, place: Path) -> None:
    cloud = np.random.default_rng(0).uniform([-5, -5, -1, 0], [5, 5, 1, 1], (600, 4)).astype(np.float32)
    cloud.tofile(place / "scan.bin")
    ended = run(environment, place, "lass3d-predict", "model.safetensors", "scan.bin")
    assert ended.returncode == 0, ended.stderr
    labels = np.fromfile(place / "scan-predicted" / "scan.label", np.uint32)
    assert len(labels) == len(cloud) and set(labels) <= set(CARD.raw_ids)
    assert '<div class="viewer"' in (place / "scan-predicted" / "index.html").read_text()


@pytest.mark.samples
def test_predict_labels_a_real_scan(environment: Path, place: Path, samples: Path) -> None:
    scan = samples / "kitti" / "velodyne_000008.bin"
    ended = run(environment, place, "lass3d-predict", "model.safetensors", str(scan), "--into", "out")
    assert ended.returncode == 0, ended.stderr
    labels = np.fromfile(place / "out" / "velodyne_000008.label", np.uint32)
    assert len(labels) == scan.stat().st_size // 16


def test_a_street_goes_through_all_commands(environment: Path, place: Path) -> None:
    manifest = (ROOT / "data_manifest.yaml").read_text()
    few = manifest.replace("train: 120, val: 20, test: 30, seed: 0, cameras: 1", "train: 2, val: 1, test: 1")
    (place / "data_manifest.yaml").write_text(few)
    choice = ("--method", "supervised", "--preset", "demo", "--ratio", "100")
    for command, *arguments in (
        ("lass3d-preprocess", "captions"),
        ("lass3d-preprocess", "pairs"),
        ("lass3d-train", "run", *choice, "--set", "schedule.steps=2", "--processes", "2"),
        ("lass3d-train", "report", *choice, "--set", "schedule.steps=2"),
    ):
        ended = run(environment, place, command, *arguments)
        assert ended.returncode == 0, ended.stderr
    (page,) = (place / "runs").rglob("report.html")
    assert "<style" in page.read_text() and "<script" in page.read_text()
