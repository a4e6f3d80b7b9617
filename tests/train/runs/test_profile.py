from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from train.__main__ import main
from train.runs.profile import Stopwatch


def test_a_part_within_another_stops_the_clock_of_that_one() -> None:
    watch = Stopwatch(torch.device("cpu"))
    with watch.part("outer"):
        time.sleep(0.01)
        with watch.part("inner"):
            time.sleep(0.2)
        time.sleep(0.01)
    assert watch.seconds["inner"] >= 0.2
    assert 0.02 <= watch.seconds["outer"] < watch.seconds["inner"]


def profiled(tiny, method: str, capsys: pytest.CaptureFixture[str], *settings: str) -> list[str]:
    """What the command prints, and that it leaves nothing behind."""
    arguments = tiny.training("--steps", "2", method=method, settings=("net.stem=4", *settings))
    before = sorted(tiny.root.rglob("*"))
    assert main(["profile", *arguments[1:]]) == 0
    assert sorted(tiny.root.rglob("*")) == before
    return capsys.readouterr().out.splitlines()


def test_the_parts_of_a_step_are_named_and_add_up(tiny, capsys: pytest.CaptureFixture[str]) -> None:
    title, _, *rows, last = profiled(tiny, "lass3d", capsys, "data.accumulate=2", "precision=bfloat16")
    assert title.startswith("lass3d-demo-r20-s0, bfloat16, 2 x ")
    parts = {row.rsplit(None, 2)[0].strip(): tuple(map(float, row.split()[-2:])) for row in rows}
    step = parts.pop("one step")
    assert {"losses", "backbone", "safm", "classifier", "teacher backbone", "teacher adapter"} <= set(parts)
    assert {"backward and clipping", "optimiser", "Eq. (1)"} <= set(parts)
    outside = [parts.pop(name) for name in ("building the batch", "moving it to the device")]
    assert all(milliseconds > 0 for milliseconds, _ in outside[:1])
    assert step[1] == 100
    assert sum(milliseconds for milliseconds, _ in parts.values()) == pytest.approx(step[0], abs=1.5)
    assert last.startswith("mean of 2 steps, peak memory") and last.endswith("(cpu)")


def test_the_branches_of_a_teacher_stand_apart(tiny, capsys: pytest.CaptureFixture[str]) -> None:
    table = "\n".join(profiled(tiny, "mean_teacher", capsys))
    assert "student backbone" in table and "teacher backbone" in table


def test_a_senseless_number_of_steps_is_refused(tiny, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = tiny.training("--steps", "0")
    assert main(["profile", *arguments[1:]]) == 2
    assert "--steps: must be at least 1" in capsys.readouterr().err


def test_peak_memory_is_in_the_log_of_a_run(tiny) -> None:
    assert main(tiny.training()) == 0
    (log,) = Path(tiny.root / "runs").rglob("log.csv")
    header, *rows = [line.split(",") for line in log.read_text().splitlines()]
    peaks = [float(row[header.index("peak_memory_gib")]) for row in rows]
    assert peaks == sorted(peaks) and 0.05 < peaks[0] < 100
