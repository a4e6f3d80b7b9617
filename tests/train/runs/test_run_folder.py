from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from lass3d_core.errors import Lass3dError, ManifestError, StaleArtifact
from train.config import SavedRun, with_settings
from train.presets.demo import demo
from train.runs.run_folder import RunFolder

CONFIG = demo("street", "lass3d", 2.5, 3)


def test_the_name_says_method_preset_ratio_seed_and_tag() -> None:
    assert RunFolder.of(Path("runs"), CONFIG, None).path == Path("runs/street/lass3d-demo-r2.5-s3")
    assert RunFolder.of(Path("runs"), CONFIG, "x").path == Path("runs/street/lass3d-demo-r2.5-s3-x")


@pytest.mark.parametrize("tag", ["", "a/b", "..", "a b", "-x"])
def test_a_tag_that_is_no_part_of_a_file_name_is_refused(tag: str) -> None:
    with pytest.raises(ManifestError, match="--tag"):
        RunFolder.of(Path("runs"), CONFIG, tag)


def test_another_run_in_the_folder_is_named_by_what_differs(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    SavedRun(CONFIG, "pairs", "split").save(folder.config)
    folder.require_same(SavedRun(CONFIG, "pairs", "split"))
    with pytest.raises(StaleArtifact, match=r"steps: 300 -> 7.*--tag NAME"):
        folder.require_same(SavedRun(with_settings(CONFIG, ["schedule.steps=7"]), "pairs", "split"))


def _lock(path: Path, answers: object) -> None:
    try:
        with RunFolder(path).locked():
            answers.put("got it")
    except Lass3dError as error:
        answers.put(str(error))


def test_one_process_at_a_time_trains_in_a_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    with RunFolder(tmp_path).locked():
        other = context.Process(target=_lock, args=(tmp_path, answers))
        other.start()
        other.join()
    assert "is already at work on" in answers.get()
    _lock(tmp_path, answers)
    assert answers.get() == "got it"


def test_what_killed_runs_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    left = tmp_path / "checkpoints" / "step-000001.pt.999999999.part"
    left.write_bytes(b"half")
    with RunFolder(tmp_path).locked():
        assert not left.exists()
