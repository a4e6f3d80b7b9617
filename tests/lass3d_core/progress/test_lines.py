from __future__ import annotations

import re

import pytest

from lass3d_core.progress import lines
from lass3d_core.progress.bars import progress_bar
from lass3d_core.progress.lines import Lines, duration, round_number


class Clock:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    @staticmethod
    def strftime(form: str) -> str:
        return "2026-01-02 03:04:05"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(lines, "time", found)
    return found


def take(bar: Lines, clock: Clock, units: int, seconds: float) -> None:
    for _ in range(units):
        clock.seconds += seconds
        bar.update()


def steps_in(text: str) -> list[int]:
    return [int(found) for found in re.findall(r": (\d+) ", text)]


def test_a_line_says_when_what_how_far_how_fast_and_how_long_still(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    bar = Lines(None, 300, "lass3d-demo-r2-s0", "step", lines=50)
    bar.set_postfix({"loss": "0.527", "val_miou": "0.38"})
    take(bar, clock, 10, 2.0)
    assert capsys.readouterr().err == (
        "2026-01-02 03:04:05  lass3d-demo-r2-s0: 10 of 300 steps, loss 0.527, val_miou 0.38, 2 s a step, "
        "10 min left\n"
    )


def test_work_that_has_no_units_writes_no_line(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Lines(None, 0, "Table 2", "run", lines=0):
        clock.seconds += 1
    assert capsys.readouterr().err == ""


def test_lines_come_every_n_units_and_at_the_end(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    take(Lines(None, 104, "captions", "image"), clock, 104, 0.1)
    said = capsys.readouterr().err
    assert steps_in(said) == [20, 40, 60, 80, 100, 104]
    assert "left" not in said.splitlines()[-1] and "10/s" in said


def test_slow_work_says_every_five_minutes_that_it_goes_on(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    take(Lines(None, 25_000, "run", "step", lines=50), clock, 12, 100.0)
    assert steps_in(capsys.readouterr().err) == [3, 6, 9, 12]
    take(Lines(None, None, "reading", "file"), clock, 4, 100.0)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("  reading: 3 files, 2 min a file")


def test_a_resumed_run_counts_from_where_it_goes_on(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    take(Lines(None, 20, "run", "step", initial=10, lines=20), clock, 1, 3.0)
    assert "11 of 20 steps, 3 s a step, 27 s left" in capsys.readouterr().err


def test_short_work_is_not_worth_a_line(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in progress_bar(range(50), desc="evaluating val", unit="scan"):
        clock.seconds += 0.1
    assert capsys.readouterr().err == ""
    for _ in progress_bar(range(50), desc="evaluating val", unit="scan"):
        clock.seconds += 1.0
    assert steps_in(capsys.readouterr().err) == [10, 15, 20, 25, 30, 35, 40, 45, 50]


@pytest.mark.parametrize(
    ("least", "found"), [(0.2, 1), (1, 1), (1.2, 2), (3, 5), (6, 10), (500, 500), (501, 1000)]
)
def test_round_numbers(least: float, found: int) -> None:
    assert round_number(least) == found


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "?"), (40, "40 s"), (720, "12 min"), (12_000, "3 h 20 min")]
)
def test_a_duration_is_told_in_words(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words
