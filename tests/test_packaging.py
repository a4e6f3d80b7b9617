"""The parts of a release agree: version, lock files, container, hooks. test_wheel.py builds the wheel."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lass3d_core import __version__

ROOT = Path(__file__).parents[1]

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
"""The versions that setup.cfg names."""

LOCKS = {  # a lock file: the extras of setup.cfg that it leaves out
    "constraints.txt": {"lvm", "lvm-paper", "trackio"},
    "constraints-lvm.txt": {"trackio"},
}


def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def requirements(without: set[str]) -> list[Requirement]:
    """What the project needs, and what its extras need."""
    read = setup()
    blocks = [text for extra, text in read["options.extras_require"].items() if extra not in without]
    lines = "\n".join([read["options"]["install_requires"], *blocks]).splitlines()
    return [Requirement(line) for line in lines if line.strip()]


def locked(name: str) -> list[Requirement]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def holds(requirement: Requirement, python: str) -> bool:
    """Whether a requirement counts on Linux under that Python."""
    if requirement.marker is None:
        return True
    machine = {"sys_platform": "linux", "platform_machine": "x86_64", "python_version": python}
    return requirement.marker.evaluate({**default_environment(), **machine, "python_full_version": python})


# ---- version ----


def test_the_version_has_one_place() -> None:
    assert setup()["metadata"]["version"] == "attr: lass3d_core.__version__"
    for path in ("setup.cfg", "pyproject.toml", "Makefile", "Dockerfile"):
        assert not re.search(rf"lass3d\D{{0,4}}{re.escape(__version__)}", (ROOT / path).read_text()), path


def test_citation_and_changelog_are_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__ and citation["license"] == setup()["metadata"]["license"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\](.*)$", changelog, re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    released = [(name, date) for name, date in headings[1:]]
    assert all(re.fullmatch(r" - \d{4}-\d\d-\d\d", date) for _, date in released)
    assert (released[0][0] if released else "0.1.0") == __version__


@pytest.mark.parametrize("module", ["preprocess", "train", "lass3d_core.model"])
def test_every_program_tells_the_version(module: str) -> None:
    command = [sys.executable, "-m", module, "--version"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == f"lass3d {__version__}\n"


# ---- lock files ----


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_locked_once_for_every_python(name: str, python: str) -> None:
    pins: dict[str, list[Requirement]] = {}
    for pin in locked(name):
        if holds(pin, python):
            pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    assert {package for package, found in pins.items() if len(found) > 1} == set()
    for wanted in requirements(LOCKS[name]):
        if not holds(wanted, python):
            continue
        found = pins.get(canonicalize_name(wanted.name))
        assert found, f"{wanted} of setup.cfg is not in {name}; make lock"
        (pinned,) = found[0].specifier
        assert pinned.operator == "==" and wanted.specifier.contains(pinned.version), f"{wanted}: {found[0]}"


def test_the_pythons_are_those_that_setup_names() -> None:
    named = re.findall(r"Python :: (3\.\d+)", setup()["metadata"]["classifiers"])
    assert tuple(named) == PYTHONS
    assert setup()["options"]["python_requires"] == f">={PYTHONS[0]}"
    ci = (ROOT / ".ci" / "run").read_text()
    assert f"for version in {PYTHONS[0]} {PYTHONS[-1]}; do" in ci


# ---- container ----


def instructions() -> list[tuple[str, list[str]]]:
    """Every instruction of the Dockerfile with its words."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(line.split()[0], shlex.split(line)[1:]) for line in joined]


def test_the_image_copies_files_that_are_there_and_not_ignored() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    ignored = [line for line in lines if line and not line.startswith("#")]
    assert ignored[0] == "*"
    kept = {line[1:] for line in ignored if line.startswith("!")}
    copies = [words for name, words in instructions() if name == "COPY"]
    sources = {
        word
        for words in copies
        if not any(one.startswith("--from=") for one in words)
        for word in words[:-1]
        if not word.startswith("--")
    }
    assert {source for source in sources if not (ROOT / source).exists()} == set()
    assert sources == kept
    assert not any(fnmatch(source, line) for source in sources for line in ignored[1:] if line[0] != "!")


def test_every_stage_has_a_fixed_base_that_setup_allows() -> None:
    said = instructions()
    python = dict(words[0].split("=", 1) for name, words in said if name == "ARG")["PYTHON"]
    assert re.fullmatch(r"3\.\d+\.\d+-slim-[a-z]+", python) and python.rsplit(".", 1)[0] in PYTHONS
    stages: set[str] = set()
    for words in (words for name, words in said if name == "FROM"):
        assert words[0] == "python:${PYTHON}" or words[0] in stages
        stages.add(words[-1])
    assert {"cpu", "cuda"} <= stages


# ---- hooks ----


def test_hooks_run_what_lint_runs_from_the_environment_alone() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (local,) = config["repos"]
    assert local["repo"] == "local"
    entries = [hook["entry"].split() for hook in local["hooks"]]
    assert all(hook["language"] == "system" for hook in local["hooks"])
    assert {entry[0] for entry in entries} == {
        f".venv/bin/{tool}" for tool in ("ruff", "mypy", "hadolint", "python")
    }
    for path in (word for entry in entries for word in entry if word.startswith("tests/")):
        assert (ROOT / path).is_file()
