"""When a run counts as finished: once its last file is there; and what surrounds its steps."""

from __future__ import annotations

from typing import Any

import pytest
from torch import are_deterministic_algorithms_enabled

from train.__main__ import main
from train.runs import train_run
from train.runs.logs import read_log
from train.runs.run import Run


class Killed(BaseException):
    """The process is gone."""


def killed(*arguments: object) -> None:
    raise Killed


def test_a_run_that_is_killed_before_its_model_is_written_is_not_finished(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.run("supervised-demo-r20-s0")
    with monkeypatch.context() as patch:
        patch.setattr(train_run, "write_finished_model", killed)
        with pytest.raises(Killed):
            main(tiny.training())
    assert main(tiny.training("--resume")) == 0
    assert (folder / "model.safetensors").is_file()
    assert (folder / "metrics-val.json").is_file() and (folder / "metrics-test.json").is_file()


def test_a_run_without_labels_to_evaluate_on_is_finished_once_it_has_a_model(
    tiny: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Run, "splits", ())
    with monkeypatch.context() as patch:
        patch.setattr(train_run, "_train", killed)
        with pytest.raises(Killed):
            main(tiny.training())
    assert main(tiny.training()) == 0
    assert "wrote" in capsys.readouterr().out
    assert (tiny.run("supervised-demo-r20-s0") / "model.safetensors").is_file()
    assert main(tiny.training()) == 0
    assert "nothing to do, trained before" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["lass3d", "sss_net"])
def test_a_deterministic_run_ends_on_a_cpu_as_any_other(
    tiny: Any, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit; and its process takes any algorithm again."""
    seen, losses = [], []
    of_run = train_run._train
    monkeypatch.setattr(
        train_run, "_train", lambda *run: seen.append(are_deterministic_algorithms_enabled()) or of_run(*run)
    )
    for tag, setting in (("plain", "deterministic=false"), ("same", "deterministic=true")):
        assert main(tiny.training("--tag", tag, "--set", setting, method=method)) == 0
        rows = read_log(tiny.run(f"{method}-demo-r20-s0-{tag}") / "log.csv")
        losses.append([(row["loss"], row["val_miou"]) for row in rows])
    assert seen == [False, True] and losses[0] == losses[1]
    assert not are_deterministic_algorithms_enabled()
