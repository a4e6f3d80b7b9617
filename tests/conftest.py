"""One thread per process: on busy cores two OpenMP threads are often far slower than one."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config: object) -> None:
    import torch

    torch.set_num_threads(1)
