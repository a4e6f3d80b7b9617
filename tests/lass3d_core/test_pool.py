"""Tasks in several processes: what comes back, and what happens to those that fail or are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lass3d_core.errors import DataError
from lass3d_core.pool import THREADS, OnProgress, WorkerDied, run_tasks

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60


def load(slot: str) -> Callable[[str, OnProgress], tuple[str, int, str | None]]:
    loaded_in = os.getpid()

    def work(task: str, on_progress: OnProgress) -> tuple[str, int, str | None]:
        on_progress(3)
        if task == "data error":
            raise DataError("a.bin is cut off")
        if task == "fault":
            raise KeyError("k")
        if task == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if task == "endless":
            time.sleep(600)
        assert os.getpid() == loaded_in
        return f"{task} done", loaded_in, os.environ.get(THREADS[0])

    return work


def test_each_task_is_done_once_and_progress_adds_up() -> None:
    units: list[int] = []
    ended = list(run_tasks(load, ["a", "b", "c", "d", "e"], ["x", "y"], units.append))
    assert sorted(one.result()[0] for one in ended) == ["a done", "b done", "c done", "d done", "e done"]
    assert {one.task[0] for one in ended} == {one.result()[0][0] for one in ended}
    processes = {one.result()[1] for one in ended}
    assert len(processes) <= 2 and os.getpid() not in processes
    assert units == [3] * 5


def test_one_slot_is_this_process_and_no_task_loads_nothing() -> None:
    (ended,) = run_tasks(load, ["a"], ["x"])
    assert ended.result()[1] == os.getpid()
    with pytest.raises(DataError, match="cut off"):
        list(run_tasks(load, ["data error"], ["x"]))
    assert list(run_tasks(load, [], ["x"])) == []


def test_fresh_tasks_have_a_process_each_that_computes_with_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(THREADS[0], raising=False)
    ended = list(run_tasks(load, ["a", "b"], ["x"], one_thread=True, fresh=True))
    assert len({one.result()[1] for one in ended} | {os.getpid()}) == 3
    assert [one.result()[2] for one in ended] == ["1", "1"]
    assert THREADS[0] not in os.environ


def test_errors_and_deaths_belong_to_their_task_and_the_others_are_done(
    capfd: pytest.CaptureFixture[str],
) -> None:
    tasks = ["killed", "a", "data error", "b", "fault", "c"]
    ended = {one.task: one for one in run_tasks(load, tasks, ["x", "y"])}
    assert [ended[task].result()[0] for task in "abc"] == ["a done", "b done", "c done"]
    with pytest.raises(WorkerDied, match="its process was ended by SIGKILL"):
        ended["killed"].result()
    with pytest.raises(DataError, match=r"^a\.bin is cut off$"):
        ended["data error"].result()
    with pytest.raises(RuntimeError, match="KeyError: 'k'"):
        ended["fault"].result()
    assert capfd.readouterr().err.count("Traceback") == 1


def test_closing_ends_the_processes() -> None:
    ended = run_tasks(load, ["a", "endless"], ["x", "y"])
    next(ended)
    started = time.monotonic()
    ended.close()
    assert time.monotonic() - started < PATIENCE_S


def is_running(process: int) -> bool:
    """Whether it is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
def test_processes_end_with_a_parent_that_is_killed(tmp_path: Path, by: signal.Signals) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "from lass3d_core.pool import run_tasks\n"
        "from tests.lass3d_core.test_pool import load\n"
        "if __name__ == '__main__':\n"
        "    for one in run_tasks(load, ['a', 'b', 'endless', 'endless'], ['x', 'y']):\n"
        "        print(one.result()[1], flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, str(script)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        children = {int(parent.stdout.readline()) for _ in range(2)}
        parent.send_signal(by)
    until = time.monotonic() + PATIENCE_S
    while left := [child for child in children if is_running(child)]:
        assert time.monotonic() < until, f"still running: {left}"
        time.sleep(0.05)
