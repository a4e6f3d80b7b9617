from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from lass3d_core.errors import BackendUnavailable
from preprocess.simulation.tree import do_all


def write(path: Path) -> None:
    if path.name == "2":
        os.kill(os.getpid(), signal.SIGKILL)
    path.write_text(path.name)


def test_a_killed_process_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(4)]
    with pytest.raises(BackendUnavailable, match=r"street: its process was ended by SIGKILL .* `workers`"):
        do_all(write, paths, 2, "street", "scan")
