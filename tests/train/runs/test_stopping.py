"""A run that a signal ends has lost nothing: resumed, it ends as one that was left alone, to the bit."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import train.evaluate
import train.loop
from lass3d_core.errors import CorruptArtifact
from train.__main__ import main
from train.config import SavedRun
from train.data.paired_scans import PairedScans
from train.runs import checkpoint
from train.runs.checkpoint import checkpoints, load_latest
from train.runs.logs import read_log
from train.runs.run import Run

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 138, signal.SIGHUP: 129}
SUMMARY = 8  # scans that the summary reads before the first step: two micro-batches of four
OF_THE_MACHINE = {"seconds", "seconds_waiting", "peak_memory_gib"}


@pytest.fixture(scope="module")
def whole(_built: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupts."""
    tiny = type(_built)(tmp_path_factory.mktemp("whole") / "project")
    shutil.copytree(_built.root, tiny.root)
    assert main(tiny.training(method="mean_teacher")) == 0
    return tiny.run("mean_teacher-demo-r20-s0")


def result(folder: Path) -> Any:
    last = load_latest(folder / "checkpoints", SavedRun.load(folder / "config.json").digest)
    rows = read_log(folder / "log.csv")
    kept = [{name: value for name, value in row.items() if name not in OF_THE_MACHINE} for row in rows]
    metrics = [(folder / f"metrics-{split}.json").read_bytes() for split in ("val", "test")]
    return {name: value.numpy().tobytes() for name, value in last.method.items()}, kept, metrics


def at_call(patch: pytest.MonkeyPatch, owner: Any, name: str, count: int, act: Callable[[], Any]) -> None:
    """Do `act` in the `count`-th call of owner.name."""
    original, calls = getattr(owner, name), []

    def called(*arguments: Any, **more: Any) -> Any:
        calls.append(name)
        if len(calls) == count:
            act()
        return original(*arguments, **more)

    patch.setattr(owner, name, called)


@pytest.mark.parametrize(
    ("number", "owner", "name", "count", "steps"),
    [
        (signal.SIGTERM, train.loop, "take_step", 3, 3),  # within the third step
        (signal.SIGUSR1, train.evaluate, "voxel_logits", 1, 6),  # as step 6 validates its first batch
        (signal.SIGHUP, checkpoint, "save", 1, 4),  # while step 4 saves
        (signal.SIGTERM, PairedScans, "read", SUMMARY + 12, 2),  # while a batch is built
        (
            signal.SIGINT,
            train.evaluate,
            "voxel_logits",
            3,
            12,
        ),  # in the last validation; each has a call for its picture
        (signal.SIGUSR1, train.evaluate, "voxel_logits", 5, 12),  # in the evaluation
    ],
)
def test_a_signal_saves_and_the_resumed_run_is_the_same_to_the_bit(
    tiny: Any,
    whole: Path,
    number: signal.Signals,
    owner: Any,
    name: str,
    count: int,
    steps: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, owner, name, count, lambda: os.kill(os.getpid(), number))
        assert main(tiny.training(method="mean_teacher")) == STATUS[number]
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("interrupted")
    assert line.endswith(
        f": saved at step {steps} of 12; the same command with --resume (make: RESUME=1) resumes the run"
    )
    folder = tiny.run("mean_teacher-demo-r20-s0")
    assert checkpoint.steps_of(checkpoints(folder / "checkpoints")[-1]) == steps
    assert main(tiny.training("--resume", method="mean_teacher")) == 0
    assert result(folder) == result(whole)


def test_an_interrupted_validation_that_is_interrupted_again_is_made_at_last(tiny: Any, whole: Path) -> None:
    folder = tiny.run("mean_teacher-demo-r20-s0")
    for more in ((), ("--resume",)):
        with pytest.MonkeyPatch.context() as patch:
            at_call(patch, train.evaluate, "voxel_logits", 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
            assert main(tiny.training(*more, method="mean_teacher")) == 143
        assert [path.name for path in checkpoints(folder / "checkpoints")][-1] == "step-000006.pt"
    assert main(tiny.training("--resume", method="mean_teacher")) == 0
    assert result(folder) == result(whole)


def test_a_signal_before_the_first_step_leaves_no_checkpoint(
    tiny: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, Run, "make_method", 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert main(tiny.training()) == 143
    assert checkpoints(tiny.run("supervised-demo-r20-s0") / "checkpoints") == []
    assert "nothing is half-written" in capsys.readouterr().err
    assert main(tiny.training()) == 0


def damage() -> None:
    raise CorruptArtifact("0-000.h5 is damaged")


@pytest.mark.parametrize(
    ("read", "steps"),
    [
        (21, 5),
        (25, 6),
        (55, 12),
    ],  # reads: four a step, two a validation, one for its picture
)
def test_a_fault_of_the_data_loses_no_step_either(
    tiny: Any, read: int, steps: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A scan that cannot be read: for a batch, in a validation, in the evaluation."""
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, PairedScans, "read", SUMMARY + read, damage)
        status = main(tiny.training("--set", "data.labelled_scans=2", "--set", "data.unlabelled_scans=2"))
    assert status == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line == f"error: 0-000.h5 is damaged; saved at step {steps} of 12, RESUME=1 (--resume) goes on"
