"""Which GPUs a run may use. PyTorch is not loaded: the parent of the workers does not need it."""

from __future__ import annotations

import os
import shutil
import subprocess

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""NVIDIA's environment variable: the GPUs that a process sees, by number or name, separated by commas."""


def visible_gpus() -> tuple[str, ...]:
    """The GPUs in CUDA_VISIBLE_DEVICES; if it is not set, those that nvidia-smi lists."""
    named = os.environ.get(VISIBLE)
    if named is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip() not in ("", "-1"))
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    command = [tool, "--query-gpu=index", "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return tuple(answer.stdout.split()) if answer.returncode == 0 else ()
