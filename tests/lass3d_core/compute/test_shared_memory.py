from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from lass3d_core.compute import shared_memory
from lass3d_core.compute.shared_memory import shortage

MB = 10**6


@pytest.fixture(autouse=True)
def docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """/dev/shm as Docker gives it."""
    monkeypatch.setattr(shared_memory, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=64 * MB))


@pytest.mark.parametrize(("batch", "workers"), [(100 * MB, 4), (17 * MB, 2), (64 * MB, 1)])
def test_batches_that_do_not_fit_are_one_line_with_the_ways_out(batch: int, workers: int) -> None:
    line = shortage(batch, workers)
    assert line is not None and "\n" not in line
    for word in ("64 MB", f"{workers} workers", "--shm-size", "--ipc=host", "data.workers=0"):
        assert word in line


@pytest.mark.parametrize(("batch", "workers"), [(100 * MB, 0), (16 * MB, 2), (1 * MB, 4)])
def test_batches_that_fit_and_no_workers_are_fine(batch: int, workers: int) -> None:
    assert shortage(batch, workers) is None


def test_a_system_without_the_folder_is_fine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shared_memory, "SHARED_MEMORY", tmp_path / "none")
    assert shortage(100 * MB, 4) is None
