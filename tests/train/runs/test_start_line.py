"""What `make train` says before its first step."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from train.__main__ import main
from train.runs import start_line
from train.runs.memory import GIB

LONGEST = 150  # characters of a line


def summary(tiny: Any, capsys: pytest.CaptureFixture[str], *more: str, method: str = "lass3d") -> list[str]:
    """The lines that a run prints before its figures."""
    capsys.readouterr()
    assert main(tiny.training(*more, method=method)) == 0
    lines = capsys.readouterr().out.splitlines()
    return lines[: next(at for at, line in enumerate(lines) if "class" in line)]


def test_a_run_says_in_six_lines_what_it_will_do(tiny: Any, capsys: pytest.CaptureFixture[str]) -> None:
    lines = summary(tiny, capsys, "--set", "data.accumulate=2")
    assert [line.split()[0] for line in lines] == ["run", "data", "device", "network", "step", "expect"]
    assert all(len(line) < LONGEST for line in lines if not line.startswith("run"))
    run, data, device, network, step, expect = (line[8:] for line in lines)
    assert run == str(tiny.run("lass3d-demo-r20-s0"))
    assert data == "labels for 2 of 10 training scans; text for 10 of 10 training scans"
    assert device.startswith("CPU (") and device.endswith("1 thread; float32; backend reference; no workers")
    assert "parameters to train" in network
    assert step.startswith("2 x (2 labelled + 2 unlabelled) scans, about 2") and step.endswith("; 12 steps")
    assert expect.startswith("about ") and "MiB of memory" in expect
    assert expect.endswith("the first steps tell the time")


def test_a_method_without_text_and_unlabelled_scans_says_so(
    tiny: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    _, data, *_, step, _ = summary(tiny, capsys, method="supervised")
    assert "text" not in data and "2 labelled scans, about" in step


def test_the_time_is_known_from_an_earlier_run_on_the_same_machine(
    tiny: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    summary(tiny, capsys)
    assert "s without evaluation, at the pace of similar runs" in summary(tiny, capsys, "--tag", "b")[-1]
    monkeypatch.setattr(start_line, "machine_of", lambda device: ("another GPU", "another processor"))
    assert "tell the time" in summary(tiny, capsys, "--tag", "c")[-1]


def test_nothing_is_introduced_twice(tiny: Any, capsys: pytest.CaptureFixture[str]) -> None:
    summary(tiny, capsys)
    assert main(tiny.training(method="lass3d")) == 0
    assert "expect" not in capsys.readouterr().out


def test_a_gpu_that_is_too_small_is_named_with_what_helps(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run: Any = SimpleNamespace(
        device=torch.device("cuda"), config=SimpleNamespace(), pairs=SimpleNamespace(num_classes=3)
    )
    monkeypatch.setattr(start_line, "expected_memory", lambda *_: SimpleNamespace(total=9.6 * GIB))
    said = {}
    for there in (8, 24):
        card = SimpleNamespace(total_memory=there * GIB)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device, card=card: card)
        said[there] = start_line._memory(run, None, None)
    assert said[24] == "about 9.6 GiB of the GPU's 24.0 GiB"
    assert said[8].startswith("about 9.6 GiB of the GPU's 8.0 GiB, which may be too little: halve data.")
