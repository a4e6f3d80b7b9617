from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from train.__main__ import main
from train.outputs import view_command


@pytest.fixture
def trained(tiny: Any) -> Any:
    assert main([*tiny.training("--set", "schedule.steps=2", "--set", "schedule.validate_every=2")]) == 0
    return tiny


def view(project: Any, *more: str) -> int:
    return main(project.arguments("view", "--method", "supervised", "--ratio", "20", *more))


def test_a_sequence_is_written_and_what_it_lacks_is_said(
    trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rerun", reason="optional: pip install rerun-sdk")
    capsys.readouterr()
    assert view(trained, "--split", "train", "--limit", "3") == 0
    path = trained.run("supervised-demo-r20-s0") / "view-train-0.rrd"
    said = capsys.readouterr()
    assert said.out == f"wrote 3 of 10 frames of train 0 to {path}; `rerun {path}` shows it\n"
    (note,) = said.err.splitlines()  # tiny has no raw data
    assert "every scan stands at the origin" in note
    assert path.stat().st_size > 10_000
    assert view(trained, "--into", str(tmp_path / "a" / "b.rrd")) == 0
    assert (tmp_path / "a" / "b.rrd").is_file()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--sequence", "7"), "the split val has no sequence '7' (it has 1)"),
        (("--split", "vall"), "no split 'vall' (known: train, val, test)"),
        (("--limit", "0"), "--limit: must be at least 1, got 0"),
        (("--tag", "never"), "config.json is missing"),
    ],
)
def test_a_wrong_choice_is_one_line(
    trained: Any, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], said: str
) -> None:
    pytest.importorskip("rerun", reason="optional: pip install rerun-sdk")
    capsys.readouterr()
    assert view(trained, *more) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_missing_package_is_one_line(
    tiny: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(view_command, "find_spec", lambda package: None)
    assert view(tiny) == 2
    assert capsys.readouterr().err == "error: make view needs the package rerun-sdk: pip install rerun-sdk\n"
