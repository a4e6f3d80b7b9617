from __future__ import annotations

import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lass3d_core.errors import CorruptArtifact
from train.runs.logs import RunLog, read_log


def steps(folder: Path) -> list[int]:
    return [int(row["step"]) for row in read_log(folder / "log.csv")]


def written(folder: Path, first: int, last: int) -> None:
    with RunLog(folder, first) as log:
        for step in range(first, last):
            log.write(step, {"loss": 1 / (step + 1)} | ({"val_miou": 0.5} if step == 2 else {}))


def test_figures_read_back_and_those_not_taken_are_empty(tmp_path: Path) -> None:
    written(tmp_path, 0, 4)
    rows = read_log(tmp_path / "log.csv")
    assert [float(row["loss"]) for row in rows] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4], rel=1e-5)
    assert [row["val_miou"] for row in rows] == ["", "", "0.5", ""]


def test_a_resumed_log_has_every_step_once(tmp_path: Path) -> None:
    written(tmp_path, 0, 7)
    written(tmp_path, 5, 9)
    assert steps(tmp_path) == list(range(9))


def test_a_row_that_a_killed_run_left_half_is_dropped(tmp_path: Path) -> None:
    written(tmp_path, 0, 4)
    whole = (tmp_path / "log.csv").read_text()
    (tmp_path / "log.csv").write_text(whole + "4,0.")
    assert steps(tmp_path) == [0, 1, 2, 3]
    written(tmp_path, 4, 6)
    assert steps(tmp_path) == list(range(6))


def test_a_new_run_in_the_folder_of_an_old_one_starts_its_log_anew(tmp_path: Path) -> None:
    written(tmp_path, 0, 4)
    written(tmp_path, 0, 2)
    assert steps(tmp_path) == [0, 1]


def test_tensorboard_shows_every_step_once_after_a_restart(tmp_path: Path) -> None:
    written(tmp_path, 0, 7)
    # Files of one second are sorted by a number without leading zeros; a restart takes longer than that.
    time.sleep(1.1)
    written(tmp_path, 5, 9)
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [event.step for event in events.Scalars("loss")] == list(range(9))


@pytest.mark.parametrize("text", ["step,loss\nx,1\n", "step,loss\n1\n", "a,b\n1,2\n"])
def test_a_damaged_log_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(CorruptArtifact, match=r"log\.csv is damaged"):
        read_log(tmp_path / "log.csv")


def test_figures_that_come_later_join_the_last_row(tmp_path: Path) -> None:
    """A validation that was interrupted: the resumed run begins with it."""
    with RunLog(tmp_path, 0) as log:
        log.write(0, {"loss": 2.0})
        log.write(1, {"loss": 1.0})
    with RunLog(tmp_path, 2) as log:
        assert log.last == {"step": "1", "loss": "1"}
        log.write(1, {"val_miou": 0.5})
        log.write(2, {"loss": 0.5})
    assert read_log(tmp_path / "log.csv") == [
        {"step": "0", "loss": "2", "val_miou": ""},
        {"step": "1", "loss": "1", "val_miou": "0.5"},
        {"step": "2", "loss": "0.5", "val_miou": ""},
    ]
