"""A recipe of many steps starts on a CPU only with consent, and no command waits for an answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lass3d_core.errors import Lass3dError
from train.__main__ import main
from train.commands import commands
from train.runs import consent
from train.runs.consent import LONG, least_seconds, require_consent

WEEKS = "--preset", "semantickitti", "--set", f"schedule.steps={LONG}"


class Begun(Exception):
    """Training would begin."""


@pytest.fixture
def begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training ends where it begins."""

    def begin(*arguments: object) -> bool:
        raise Begun

    monkeypatch.setattr(commands, "train_run", begin)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.mark.parametrize("command", ["run", "table"])
def test_a_published_recipe_is_refused_in_one_line(
    tiny: Any, begins: None, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    ratio = ("--ratio", "20") if command == "run" else ("--ratios", "20")
    assert main(tiny.arguments(command, "--preset", "semantickitti", *ratio)) == 2
    (line,) = (one for one in capsys.readouterr().err.splitlines() if one.startswith("error:"))
    for words in (
        "semantickitti takes 25000 steps",
        "no GPU",
        " or more",
        "PRESET=demo takes",
        "YES=1 (--yes)",
    ):
        assert words in line
    assert not list((tiny.root / "runs").glob("tiny/*/config.json"))


@pytest.mark.parametrize("flag", ["--yes", "--resume"])
def test_consent_and_a_resumed_run_are_not_asked(tiny: Any, begins: None, flag: str) -> None:
    with pytest.raises(Begun):
        main(tiny.training(*WEEKS, flag))


def test_short_runs_are_not_asked(tiny: Any, begins: None) -> None:
    with pytest.raises(Begun):
        main(tiny.training())
    with pytest.raises(Begun):
        main(tiny.training("--preset", "semantickitti"))  # of 12 steps, by --set
    with pytest.raises(Begun):
        main(tiny.training("--set", f"schedule.steps={LONG}"))  # the demo, as long as its user wants


def test_a_plan_of_a_table_is_not_asked(tiny: Any, capsys: pytest.CaptureFixture[str]) -> None:
    asked = tiny.arguments("table", "--preset", "semantickitti", "--ratios", "20", "--plan")
    assert main(asked) == 0
    assert "25000 steps" in capsys.readouterr().out


def run_on(device: str, folder: Any) -> Any:
    schedule = SimpleNamespace(steps=LONG)
    config = SimpleNamespace(preset="semantickitti", schedule=schedule)
    return SimpleNamespace(
        device=torch.device(device), config=config, folder=SimpleNamespace(checkpoints=folder)
    )


def test_a_gpu_and_a_run_that_has_begun_are_not_asked(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent, "expected_seconds", lambda run: 2e6)
    require_consent([run_on("cuda", tmp_path)], False, "demo")
    with pytest.raises(Lass3dError, match="about 23 days; PRESET=demo_room"):
        require_consent([run_on("cpu", tmp_path)], False, "demo_room")
    (tmp_path / "step-000001.pt").touch()
    require_consent([run_on("cpu", tmp_path)], False, "demo")


def test_the_least_time_is_that_of_three_passes_for_every_micro_batch_and_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consent, "multiplications_per_second", lambda: 10.0)
    monkeypatch.setattr(consent, "multiplications", lambda net, size: 20.0)
    schedule, data = SimpleNamespace(steps=7), SimpleNamespace(accumulate=4)
    config = SimpleNamespace(schedule=schedule, data=data, net=None, method=None, method_name="supervised")
    run: Any = SimpleNamespace(config=config)
    size: Any = None
    assert least_seconds(run, size) == 3 * 4 * 7 * 20 / 10
