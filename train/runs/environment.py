"""The environment of a run: versions, processor, GPU, threads, revision. Saved beside its results."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from lass3d_core import __version__
from lass3d_core.files.json_files import write_json

_PACKAGES = ("numpy", "h5py")


def write_environment(path: Path, device: torch.device) -> None:
    """Write `environment` as JSON. Raises StorageError."""
    write_json(path, environment(device))


def environment(device: torch.device) -> dict[str, Any]:
    """What one needs to judge the times of a run and to repeat it."""
    name, processor = machine_of(device)
    return {
        "python": platform.python_version(),
        # torch says itself for which CUDA it was built; the package's version may leave that out.
        "packages": {"lass3d": __version__, "torch": str(torch.__version__)}
        | {name: _version(name) for name in _PACKAGES},
        "system": platform.platform(),
        "processor": processor,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": name,
        "revision": _revision(),
    }


def peak_memory_gib(device: torch.device) -> float:
    """The peak memory so far: of tensors on a GPU, else the resident memory of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts KiB


def machine_of(device: torch.device) -> tuple[str, str]:
    """`device` and `processor` of `environment`: on the same two a step takes about the same time."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu", _processor()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _revision() -> str | None:
    """The git revision of this code, with "-dirty" if there are local changes; None outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    here = Path(__file__).parents[2]
    if not (here / ".git").exists():  # installed, perhaps below the repository of another project
        return None
    try:
        answer = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
