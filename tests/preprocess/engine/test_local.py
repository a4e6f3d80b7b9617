"""Killed runs and several processes give the artifacts of an uninterrupted run, byte for byte."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lass3d_core.errors import BackendUnavailable, Lass3dError
from preprocess.engine import run_shards
from preprocess.project import Project
from preprocess.stages.plan import STAGES, plan

ROOT = Path(__file__).parents[3]


def start(street: Any, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "preprocess", *arguments, "--manifest", str(street.manifest)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(run: subprocess.Popen[str], line: str) -> None:
    """Until the process has printed a line that starts so."""
    assert run.stdout is not None
    while not (printed := run.stdout.readline()).startswith(line):
        assert printed, f"ended without {line!r}: {run.communicate()[1]}"


def remove(street: Any, stage: str) -> None:
    for _, path in STAGES[stage].places(street.project):
        path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "arguments", "workers"),
    [
        ("image_captions", ("captions", "--only", "image_captions"), 1),
        ("entities", ("captions", "--only", "entities"), 2),
        ("text_embeddings", ("captions", "--only", "text_embeddings"), 1),
        ("pairs", ("pairs",), 2),
    ],
)
def test_a_killed_stage_run_again_gives_the_same_bytes(
    finished_street: Any, street: Any, stage: str, arguments: tuple[str, ...], workers: int
) -> None:
    remove(street, stage)
    street.set(workers=workers)
    run = start(street, *arguments)
    wait_for(run, f"{stage}: ")  # it says what is to be made, and begins
    while STAGES[stage].per_block and not any(street.artifacts.glob(f"{stage}/0*[5l]")):
        time.sleep(0.001)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    assert run.returncode == -signal.SIGKILL
    assert not plan(street.project, STAGES[stage]).fresh
    if stage == "pairs":
        assert not (street.artifacts / "pairs" / "index.json").exists()
    assert all(shard.state != "stale" for shard in plan(street.project, STAGES[stage]).shards)
    assert street.run(*arguments) == 0
    assert street.content() == finished_street.content()
    if workers == 1:  # an orphaned worker may still be waiting to be reaped, and counts as alive until then
        assert not list(street.artifacts.rglob("*.part"))


@pytest.mark.parametrize(
    ("seconds", "number", "status", "by"),
    [
        (0.0, signal.SIGINT, 130, ""),
        (0.1, signal.SIGINT, 130, ""),
        (1.0, signal.SIGINT, 130, ""),
        (0.1, signal.SIGTERM, 143, " by SIGTERM"),
        (1.0, signal.SIGTERM, 143, " by SIGTERM"),
        (1.0, signal.SIGUSR1, 138, " by SIGUSR1"),
    ],
)
def test_a_signal_ends_with_its_status_and_says_how_to_resume(
    untouched_street: Any, seconds: float, number: int, status: int, by: str
) -> None:
    untouched_street.set(workers=2)
    run = start(untouched_street, "captions")
    wait_for(run, "image_captions: ")
    time.sleep(seconds)  # before, while and after the workers start
    os.killpg(run.pid, number)
    _, errors = run.communicate()
    assert run.returncode == status
    assert errors == f"interrupted{by}: nothing is half-written; run the same command again to resume\n"
    if number == signal.SIGINT:  # SIGTERM ends the workers too, who cannot tidy up; the next run does
        assert not list(untouched_street.artifacts.rglob("*.part"))


def test_workers_end_when_their_parent_is_killed(untouched_street: Any) -> None:
    untouched_street.set(workers=2)
    with start(untouched_street, "captions") as run:
        wait_for(run, "image_captions: ")
        time.sleep(0.5)
        run.kill()
    deadline = time.monotonic() + 60
    while group_lives(run.pid):
        assert time.monotonic() < deadline, "a worker outlives its parent"
        time.sleep(0.05)


def group_lives(group: int) -> bool:
    """Some process of the group is there and no zombie."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            return True
    return False


def jobs_of(project: Project, stage: str) -> list[Any]:
    return [shard.job for shard in plan(project, STAGES[stage]).to_do]


def test_an_error_in_a_process_reaches_the_parent(street: Any) -> None:
    remove(street, "pairs")
    path = street.sequences / "01" / "velodyne" / "000001.bin"
    path.write_bytes(path.read_bytes()[:-3])
    street.set(workers=2)
    project = street.project
    with pytest.raises(Lass3dError, match=r"000001\.bin is cut off"):
        list(run_shards(project, "pairs", jobs_of(project, "pairs"), lambda units: None))


def test_a_killed_worker_is_named(street: Any) -> None:
    remove(street, "entities")
    street.set(workers=2)
    project = street.project

    def kill_a_worker(units: int) -> None:
        multiprocessing.active_children()[0].kill()

    with pytest.raises(
        BackendUnavailable, match=r"ended by SIGKILL .* while it made .*entities/.*\.jsonl; set `workers: 1`"
    ):
        list(run_shards(project, "entities", jobs_of(project, "entities"), kill_a_worker))
