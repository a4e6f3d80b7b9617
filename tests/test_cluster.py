"""docs/cluster/train.sbatch: what it makes of Slurm's signals. Stand-ins play the training and scontrol."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "docs" / "cluster" / "train.sbatch"
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")

TRAINING = """#!{python} -S
import signal, sys, time
from pathlib import Path
here = Path(__file__).parent
(here / "arguments").write_text(" ".join(sys.argv[1:]))
def save(number, frame):
    time.sleep(0.2)
    (here / "saved").touch()
    sys.exit(128 + number)
signal.signal(signal.SIGUSR1, save)
signal.signal(signal.SIGTERM, save)
(here / "started").touch()
time.sleep({seconds})
sys.exit({status})
"""


def started(folder: Path, seconds: float, status: int = 0) -> subprocess.Popen[bytes]:
    """The script, once its training has begun; `seconds` is how long that takes if nothing ends it."""
    for name, text in (
        ("python", TRAINING.format(python=sys.executable, seconds=seconds, status=status)),
        ("scontrol", f'#!/bin/sh\necho "$@" > "{folder}/scontrol-said"\n'),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    env = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PYTHON": str(folder / "python"),
        "SLURM_SUBMIT_DIR": str(folder),
        "SLURM_JOB_ID": "17",
    }
    process = subprocess.Popen(["bash", str(SCRIPT), "--method", "lass3d", "--ratio", "1"], env=env)
    for _ in range(600):
        if (folder / "started").exists():
            return process
        time.sleep(0.05)
    raise AssertionError("the training never began")


def test_before_its_time_is_over_the_run_saves_and_the_job_goes_back_into_the_queue(tmp_path: Path) -> None:
    process = started(tmp_path, seconds=60)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(60) == 138 and (tmp_path / "saved").exists()
    assert (tmp_path / "scontrol-said").read_text() == "requeue 17\n"
    assert (tmp_path / "arguments").read_text() == "-m train run --resume --method lass3d --ratio 1"


def test_after_preemption_slurm_itself_starts_the_job_again(tmp_path: Path) -> None:
    process = started(tmp_path, seconds=60)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143 and (tmp_path / "saved").exists()
    assert not (tmp_path / "scontrol-said").exists()


@pytest.mark.parametrize("status", [0, 2])
def test_a_run_that_is_done_or_wrong_is_not_started_again(tmp_path: Path, status: int) -> None:
    process = started(tmp_path, seconds=0.1, status=status)
    assert process.wait(60) == status and not (tmp_path / "scontrol-said").exists()


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say() -> None:
    done = subprocess.run(["shellcheck", str(SCRIPT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
