from __future__ import annotations

from pathlib import Path

from train.trackers.contract import TrackedRun


def run_in(folder: Path, steps_done: int = 0) -> TrackedRun:
    return TrackedRun(folder, "lass3d-tiny", {}, (), steps_done)


def test_settings_are_flat() -> None:
    settings = {"ratio": 2.0, "note": "", "net": {"encoder": [6, 6], "init": None}, "deterministic": False}
    assert TrackedRun(Path("r"), "p", settings, (), 0).flat_settings == {
        "ratio": 2.0,
        "note": "",
        "net.encoder": "[6, 6]",
        "net.init": "null",
        "deterministic": False,
    }


def test_a_resumed_run_is_known_again_and_one_that_begins_anew_is_not(tmp_path: Path) -> None:
    run_in(tmp_path).remember("wandb", "abc")
    run_in(tmp_path).remember("mlflow", "def")
    resumed = run_in(tmp_path, steps_done=8)
    assert (resumed.id_in("wandb"), resumed.id_in("mlflow"), resumed.id_in("trackio")) == ("abc", "def", None)
    assert run_in(tmp_path).id_in("wandb") is None


def test_a_damaged_file_of_ids_is_as_none(tmp_path: Path) -> None:
    (tmp_path / "trackers.json").write_text("[")
    assert run_in(tmp_path, steps_done=8).id_in("wandb") is None
    run_in(tmp_path).remember("wandb", "abc")
    assert run_in(tmp_path, steps_done=8).id_in("wandb") == "abc"
