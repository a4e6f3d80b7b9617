"""A tracker never stops a run, and a package that is missing is one line before it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import train.trackers
from lass3d_core.signals import Interrupted
from train.__main__ import main
from train.trackers import PACKAGES, guarded
from train.trackers.contract import Ending, TrackedRun
from train.trackers.guarded import Trackers


class Recorder:
    """Keeps what it is told; raises at the call `fails_at`."""

    where = ""

    def __init__(self, fails_at: str = "") -> None:
        self.told: list[str] = []
        self._fails_at = fails_at

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._note(f"log {step} {sorted(figures)}")

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        self._note(f"picture {step} {name} {image.shape}")

    def finish(self, ending: Ending) -> None:
        self._note(f"finish {ending}")

    def _note(self, words: str) -> None:
        self.told.append(words)
        if words.split()[0] == self._fails_at:
            raise ConnectionError("no route to host\nand a long story")


def started(folder: Path, monkeypatch: pytest.MonkeyPatch, **trackers: Recorder | Exception) -> Trackers:
    def module(name: str) -> SimpleNamespace:
        tracker = trackers[name.rpartition(".")[2]]

        def start(run: TrackedRun) -> Recorder:
            if isinstance(tracker, Exception):
                raise tracker
            return tracker

        return SimpleNamespace(start=start)

    monkeypatch.setattr(guarded, "import_module", module)
    return Trackers(TrackedRun(folder, "project", {}, (), 0), list(trackers))


def told_all(trackers: Trackers) -> None:
    with trackers:
        trackers.log(0, {"loss": 1.0})
        trackers.picture(0, "scan", np.zeros((2, 3, 3), np.uint8))
        trackers.log(1, {"loss": 0.5})


ALL = ["log 0 ['loss']", "picture 0 scan (2, 3, 3)", "log 1 ['loss']", "finish finished"]


def test_every_tracker_is_told_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board, other = Recorder(), Recorder()
    told_all(started(tmp_path, monkeypatch, tensorboard=board, wandb=other))
    assert board.told == other.told == ALL


@pytest.mark.parametrize(("fails_at", "calls"), [("log", 1), ("picture", 2), ("finish", 4)])
def test_a_tracker_that_fails_is_left_out_and_the_others_go_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fails_at: str,
    calls: int,
) -> None:
    board, broken = Recorder(), Recorder(fails_at)
    told_all(started(tmp_path, monkeypatch, tensorboard=board, wandb=broken))
    assert board.told == ALL and broken.told == ALL[:calls]
    said = "note: wandb gets no more figures of this run (no route to host); log.csv has them\n"
    assert capsys.readouterr().err == said


def test_a_tracker_that_does_not_start_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    board = Recorder()
    told_all(started(tmp_path, monkeypatch, tensorboard=board, mlflow=ImportError()))
    assert board.told == ALL and "note: mlflow gets no more figures" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "ending"), [(Interrupted(2), "interrupted"), (ValueError(), "failed")])
def test_the_end_of_the_run_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, ending: str
) -> None:
    board = Recorder()
    with pytest.raises(type(error)), started(tmp_path, monkeypatch, tensorboard=board):
        raise error
    assert board.told == [f"finish {ending}"]


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_is_one_line_with_the_command_that_helps(
    tiny: Any, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train.trackers, "find_spec", lambda package: None)
    assert main(tiny.training("--log", name)) == 2
    said = f"error: --log {name} (make: LOG={name}) needs a package: pip install {PACKAGES[name]}\n"
    assert capsys.readouterr().err == said
    assert not (tiny.root / "runs").exists()


def test_an_unknown_tracker_is_one_line(tiny: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(tiny.training("--log", "neptune")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--log" in line and "neptune" in line and "wandb" in line
