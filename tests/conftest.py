"""Settings of every test, and the fixtures of the real sample frames and of a trained network."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# One thread per process: on busy cores two OpenMP threads are often far slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# In the background a shell ignores Ctrl-C, and `nohup` a hang-up. The programs under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_configure(config: object) -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of real frames: LASS3D_SAMPLES, or shared/samples beside the checkout."""
    beside = Path(__file__).parents[2] / "shared" / "samples"
    folder = Path(os.environ.get("LASS3D_SAMPLES", beside))
    if not folder.is_dir():
        pytest.skip(f"no real frames at {folder}; set LASS3D_SAMPLES")
    return folder


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of trained networks: LASS3D_MODELS, or shared/models beside the checkout."""
    beside = Path(__file__).parents[2] / "shared" / "models"
    folder = Path(os.environ.get("LASS3D_MODELS", beside))
    if not folder.is_dir():
        pytest.skip(f"no trained networks at {folder}; set LASS3D_MODELS")
    return folder
