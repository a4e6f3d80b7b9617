"""The machine: disk, locks, shared memory, GPUs, and the optional backends."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from lass3d_core.errors import DataError
from lass3d_core.files.lock import has_flock
from preprocess.doctor.finding import Finding
from preprocess.lvm import run_params
from preprocess.lvm.fetch_weights import models_of
from preprocess.project import Project
from preprocess.status import plural, size_in_words

SPARSE_BACKENDS = {
    "triton": "pip install -e '.[triton]'",
    "spconv": "pip install -e '.[spconv]'",
    "torchsparse": "build it from its sources (docs/training.md)",
}
"""Optional backend, which is the name of its module too -> how to get it."""

_BFLOAT16 = (8, 0)
"""The compute capability from which a card multiplies in bfloat16: Ampere."""

_SPARE_BYTES = 1e9
_SHARD_PER_POINT_BYTE = 1.25
_MASKS_PER_IMAGE = 100e3


def machine(project: Project) -> Iterator[Finding]:
    """Whether this machine can hold and run what the manifest asks for."""
    yield _disk(project)
    yield _locks(project)
    yield from _gpu(project)
    yield from _backends()
    if project.manifest.engine == "ray":
        yield _ray(project)


def _disk(project: Project) -> Finding:
    """Whether the artifacts fit."""
    # Decision: shards take a quarter more than the point files, masks 100 kB per image.
    folder = project.folder
    free = shutil.disk_usage(_existing(folder)).free
    try:
        files = {part.path for block in project.blocks for part in project.points_of(block)}
        needed = _SHARD_PER_POINT_BYTE * sum(map(bytes_of, files)) + _MASKS_PER_IMAGE * project.image_count
    except DataError:
        needed = 0.0
    needed = max(needed - bytes_of(folder), _SPARE_BYTES)
    detail = f"{size_in_words(free)} free for {folder}, about {size_in_words(needed)} needed"
    if free < needed:
        return Finding("FIX", "disk", f"{detail}; free some or set `artifacts` in the manifest")
    return Finding("ok", "disk", detail)


def _locks(project: Project) -> Finding:
    """Whether the file system of the artifacts can lock files."""
    folder = _existing(project.folder)
    if not os.access(folder, os.W_OK):
        return Finding("FIX", "locks", f"{folder} cannot be written; mend its rights, or set `artifacts`")
    if has_flock(folder):
        return Finding("ok", "locks", f"{folder} has flock")
    detail = f"{folder} has no flock; a file .soft takes its place, and stays if a process is killed"
    return Finding("note", "locks", detail)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(parent for parent in (folder, *folder.parents) if parent.exists())


def _gpu(project: Project) -> Iterator[Finding]:
    """The GPUs that PyTorch sees, and whether those that the manifest asks for are among them."""
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    for stage in models_of(project.manifest):
        run = run_params(stage, project.manifest)
        device = run.device if run is not None else "cpu"
        number = int(device.partition(":")[2] or 0)
        if device.startswith("cuda") and number >= len(names):
            detail = f"{stage} asks for {device}, PyTorch sees {plural(len(names), 'GPU')}; set run.device"
            yield Finding("FIX", "GPU", detail)
    if names:
        yield from (_card(number) for number in range(len(names)))
    elif any(run_params(stage, project.manifest) for stage in models_of(project.manifest)):
        yield Finding("note", "GPU", "none; the models run on the CPU, which takes minutes per image")
    else:
        yield Finding("ok", "GPU", "none, and none needed by the models that the manifest names")


def _card(number: int) -> Finding:
    """What a GPU can do: its memory, and whether it computes in bfloat16 as the published presets do."""
    import torch

    card = torch.cuda.get_device_properties(number)
    found = (
        f"{card.name} with {size_in_words(card.total_memory)}, compute capability {card.major}.{card.minor}"
    )
    # On older cards PyTorch only emulates bfloat16.
    if (card.major, card.minor) >= _BFLOAT16:
        return Finding("ok", f"GPU {number}", f"{found}, bfloat16")
    return Finding("note", f"GPU {number}", f'{found}, no bfloat16; train with SET="precision=float16"')


def _backends() -> Iterator[Finding]:
    """The optional backends of sparse convolution. Nothing needs them."""
    for name, remedy in SPARSE_BACKENDS.items():
        if importlib.util.find_spec(name):
            yield Finding("ok", name, "installed: net.backend may name it")
        else:
            yield Finding("note", name, f"not installed, and not needed; for net.backend={name}: {remedy}")


def _ray(project: Project) -> Finding:
    if importlib.util.find_spec("ray"):
        return Finding("ok", "ray", f"cluster at {project.manifest.ray_address!r}")
    return Finding("FIX", "ray", "not installed; pip install -e '.[ray]', or engine: local in the manifest")


def bytes_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; 0 if there is nothing."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
