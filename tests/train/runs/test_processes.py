"""Two processes that share every batch train the network that one trains alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from train.runs.logs import read_log

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
COMPARED = {"loss", "ce_l", "ce_u", "ce_mix", "pe", "kl", "consistency", "gradient_norm", "updates"}


def command(tiny: Any, processes: int, tag: str, method: str, *more: str) -> list[str]:
    together = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    arguments = tiny.training("--tag", tag, *more, method=method)
    return [sys.executable, *(together if processes > 1 else []), "-m", "train", *arguments]


def trained(tiny: Any, processes: int, tag: str, method: str, *more: str) -> Path:
    run = subprocess.run(
        command(tiny, processes, tag, method, *more), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    (folder,) = (tiny.root / "runs").rglob(f"*-{tag}")
    return folder


@pytest.mark.parametrize(
    ("method", "own"),
    [
        ("lass3d", ("method.transfer=alignment",)),
        ("lass3d", ()),
        ("lasermix", ()),
        ("lasermix", ("net.image.height=16", "net.image.width=32", "net.view=range")),
        ("cbst", ("method.round_steps=2",)),
        ("ignet", ()),
    ],
)
def test_two_processes_take_the_steps_of_one(tiny: Any, method: str, own: tuple[str, ...]) -> None:
    """Losses, gradients, batch-norm statistics and the metric are those of the whole batch.

    With plain gradient steps: AdamW's first ones go by the sign of a gradient, which rounding can turn. It
    can turn a ReLU as well, which moves the gradient's norm by some 1e-4 and no loss; not so in float64.
    """
    settings = ("schedule.steps=5", "optim.name=sgd", "optim.peak_lr=0.02", *own)
    flags = [word for setting in settings for word in ("--set", setting)]
    alone, both = (trained(tiny, count, f"n{count}", method, *flags) for count in (1, 2))
    for one, two in zip(read_log(alone / "log.csv"), read_log(both / "log.csv"), strict=True):
        names = COMPARED & one.keys()
        assert {"loss", "ce_l", "gradient_norm"} <= names
        for name in names:
            tolerance = 2e-3 if name == "gradient_norm" else 1e-4
            near = pytest.approx(float(one[name]), rel=tolerance, abs=1e-6)
            assert float(two[name]) == near, (name, one["step"])
    figures = [json.loads((folder / "metrics-val.json").read_text()) for folder in (alone, both)]
    assert figures[0]["points"] == figures[1]["points"]
    assert figures[0]["in_camera"]["points"] == figures[1]["in_camera"]["points"]
    assert figures[1]["accuracy"] == pytest.approx(figures[0]["accuracy"], abs=0.02)


def kill_all(root: Path) -> None:
    """torchrun and the trainers that it started, which are sessions of their own."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if str(root).encode() in path.read_bytes():
                os.kill(int(path.parent.name), signal.SIGKILL)


@pytest.mark.parametrize(("method", "own"), [("lass3d", ()), ("gpc", ("--set", "method.labels_first=0"))])
def test_two_killed_processes_resume_where_they_were(tiny: Any, method: str, own: tuple[str, ...]) -> None:
    """What GPC remembers comes from both processes; the checkpoint is that of one."""
    whole = trained(tiny, 2, "whole", method, *own)
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command(tiny, 2, "cut", method, *own), cwd=ROOT, stdout=quiet, stderr=quiet) as run:
        while run.poll() is None and not list((tiny.root / "runs").rglob("*-cut/checkpoints/*.pt")):
            time.sleep(0.01)
        assert run.returncode is None, "it ended before it could be killed"
        kill_all(tiny.root)
    cut = trained(tiny, 2, "cut", method, *own, "--resume")
    assert (cut / "metrics-val.json").read_bytes() == (whole / "metrics-val.json").read_bytes()
    losses = [[row["loss"] for row in read_log(folder / "log.csv")] for folder in (whole, cut)]
    assert losses[0] == losses[1]


def ranks_of(root: Path) -> list[int]:
    """The trainers that torchrun started, in the order of their start."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes()
            if str(root).encode() in words and b"torch.distributed.run" not in words:
                found.append(int(path.parent.name))
    return sorted(found)


def test_a_signal_to_one_process_saves_once_and_ends_both(tiny: Any) -> None:
    """And both are resumed where they were."""
    whole = trained(tiny, 2, "whole", "mean_teacher")
    arguments = command(tiny, 2, "cut", "mean_teacher")
    with subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE, text=True) as run:
        folder = tiny.run("mean_teacher-demo-r20-s0-cut")
        while not read_log(folder / "log.csv"):
            assert run.poll() is None
            time.sleep(0.01)
        os.kill(ranks_of(tiny.root)[1], signal.SIGUSR1)
        errors = run.communicate()[1]
    assert errors.count("interrupted by SIGUSR1: saved at step ") == 1
    assert errors.count("exitcode  : 138") >= 1
    cut = trained(tiny, 2, "cut", "mean_teacher", "--resume")
    assert (cut / "metrics-val.json").read_bytes() == (whole / "metrics-val.json").read_bytes()
    losses = [[row["loss"] for row in read_log(one / "log.csv")] for one in (whole, cut)]
    assert losses[0] == losses[1]


def test_scans_that_cannot_be_shared_evenly_are_one_clear_line(tiny: Any) -> None:
    arguments = command(tiny, 2, "odd", "supervised", "--set", "data.labelled_scans=3")
    run = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "error: 2 processes cannot share data.labelled_scans=3 evenly" in run.stderr


LEAVING = """
import os
from pathlib import Path

import torch
import torch.distributed as dist

from train.runs.processes import process_group

def threads():
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return sum("gloo" in name for name in names)

with process_group():
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1).step()
    dist.all_reduce(torch.ones(1))
    inside = threads()
Path(__file__).with_name(os.environ["RANK"]).write_text(f"{inside > 0} {threads()}")
"""


def test_a_process_that_leaves_the_others_keeps_no_thread_of_theirs(tmp_path: Path) -> None:
    """Such a thread aborts the process where it meets the end of the interpreter."""
    script = tmp_path / "leaving.py"
    script.write_text(LEAVING)
    arguments = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    run = subprocess.run(
        [*arguments, str(script)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["True 0", "True 0"]
