"""The Makefile hands every value to the programs as it was typed: no shell reads it, and 0 means no."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment whose Python prints its arguments, one in each pair of brackets."""
    folder = tmp_path_factory.mktemp("environment")
    (folder / "bin").mkdir()
    python = folder / "bin" / "python"
    python.write_text('#!/bin/sh\nfor word; do printf "[%s]" "$word"; done; echo\n')
    python.chmod(0o755)
    time.sleep(0.01)
    (folder / ".ready").touch()
    return folder


def make(environment: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", f"VENV={environment}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("typed", "received"),
    [
        (
            ("train", "SET=schedule.steps=1;seedx=3 a=[1,2]"),
            "[--set][schedule.steps=1;seedx=3][--set][a=[1,2]]",
        ),
        (("train", "TAG=it's"), "[--tag][it's]"),
        (("train", "MANIFEST=a b/m.yaml"), "[--manifest][a b/m.yaml]"),
        (("preview", "IMAGE=$$(ls) `ls`.jpg"), "[$(ls) `ls`.jpg]"),
        (("query", 'TEXT=a "parked" car', "SCAN=08/000010"), '[--text][a "parked" car][--scan][08/000010]'),
        (("clouds", "SCANS=08/1 08/2"), "[--scans][08/1][08/2]"),
        (("train", "RESUME=1"), "[--resume]"),
        (("query", "SCORE=1"), "[--score]"),
        (("table", "PLAN=1"), "[--plan]"),
        (("train", "PROCESSES=2"), "[--nproc-per-node=2][-m][train][run]"),
    ],
)
def test_a_value_arrives_as_it_was_typed(environment: Path, typed: tuple[str, ...], received: str) -> None:
    done = make(environment, *typed)
    assert done.returncode == 0 and received in done.stdout


def test_zero_means_no(environment: Path) -> None:
    for typed, flag in (("train RESUME=0", "--resume"), ("table PLAN=0", "--plan")):
        assert flag not in make(environment, *typed.split()).stdout
    assert make(environment, "query", "SCORE=0").returncode == 2


@pytest.mark.parametrize("processes", ["0", "two", "1;ls"])
def test_processes_must_be_a_positive_number(environment: Path, processes: str) -> None:
    done = make(environment, "train", f"PROCESSES={processes}")
    assert done.returncode == 2 and "PROCESSES" in done.stderr and done.stdout == ""


def test_commands_that_need_each_other_run_in_order(environment: Path) -> None:
    lines = make(environment, "-j4", "captions", "pairs").stdout.splitlines()
    assert [line.split("]")[2] for line in lines] == ["[captions", "[pairs"]
