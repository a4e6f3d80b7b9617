from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from lass3d_core.errors import CorruptArtifact
from train.runs.logs import RunLog, read_log
from train.trackers.guarded import Trackers


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


def test_figures_of_single_classes_and_pictures_go_to_the_trackers_alone(tmp_path: Path) -> None:
    seen: list[tuple[object, ...]] = []

    class Listener(Trackers):
        def __init__(self) -> None:
            """Starts none."""

        def log(self, step: int, figures: Mapping[str, float]) -> None:
            seen.append((step, dict(figures)))

        def picture(self, step: int, name: str, image: np.ndarray) -> None:
            seen.append((step, name))

    with RunLog(tmp_path, 0, Listener()) as log:
        log.write(0, {"loss": 1.0})
        log.show("scan", np.zeros((2, 2, 3), np.uint8))
        log.write(1, {"loss": 0.5, "val_iou/car": 0.25})
        log.write(2, {"loss": 0.25})
        log.tell(2, {"final/val_miou": 0.5})
    assert [list(row) for row in read_log(tmp_path / "log.csv")] == [["step", "loss"]] * 3
    assert seen == [
        (0, {"loss": 1.0}),
        (1, {"loss": 0.5, "val_iou/car": 0.25}),
        (1, "scan"),
        (2, {"loss": 0.25}),
        (2, {"final/val_miou": 0.5}),
    ]


@pytest.mark.parametrize(
    "text", ["step,loss\nx,1\n", "step,loss\n1\n", "a,b\n1,2\n", "step,loss\n1,\0\n", "step,loss\n1,0.5x\n"]
)
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
