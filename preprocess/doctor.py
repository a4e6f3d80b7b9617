"""`make doctor`: is everything there that the manifest names? One line each, with the fix."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from lass3d_core.errors import DataError, Lass3dError
from preprocess.lvm import run_params
from preprocess.lvm.fetch_weights import Wanted, models_of, wanted_weights
from preprocess.project import Project
from preprocess.status import plural, size_in_words

_GROUNDED_SAM = "groundingdino-py segment-anything torchvision transformers timm matplotlib"

PACKAGES: dict[str, tuple[str, ...]] = {
    "kosmos2": ("transformers",),
    "florence2": ("transformers",),
    "grounded_sam": tuple(_GROUNDED_SAM.split()),
    "hf_grounded_sam": ("transformers", "torchvision"),
    "open_clip": ("open_clip_torch", "torchvision"),
    "hf_text": ("transformers",),
}
"""Model -> the packages that it imports, all in the extra [lvm]."""

SYSTEM_LIBRARIES = {"grounded_sam": "cv2"}
"""Model -> a module that fails to import, though it is installed, if a library of the system is absent."""

SPARSE_BACKENDS = {
    "spconv": "pip install -e '.[spconv]'",
    "torchsparse": "build it from its sources (README)",
}
"""Optional backend, which is the name of its module too -> how to get it."""

_SPARE_BYTES = 1e9
_SHARD_PER_POINT_BYTE = 1.25
_MASKS_PER_IMAGE = 100e3

Finding = tuple[Literal["ok", "note", "FIX"], str, str]
"""A mark, what it is about, and the detail. FIX: needed and missing. note: it works, but is worth knowing."""


def doctor(project: Project) -> tuple[str, bool]:
    """Return every finding as text, and whether everything that is needed is there."""
    findings: list[Finding] = [
        ("ok", "python", f"{platform.python_version()} in {sys.prefix}"),
        *_packages(project),
        *(_weights(one) for one in wanted_weights(project.manifest)),
        _data(project),
        _disk(project),
        *_gpu(project),
        *_backends(),
        *_cluster(project),
    ]
    width = max(len(what) for _, what, _ in findings)
    lines = [f"{mark:4}  {what:{width}}  {detail}" for mark, what, detail in findings]
    return "\n".join(lines), all(mark != "FIX" for mark, _, _ in findings)


def _packages(project: Project) -> Iterator[Finding]:
    """The project's requirements, then the packages of the manifest's models, then their system libraries."""
    try:
        declared = [Requirement(line) for line in requires("lass3d") or ()]
    except PackageNotFoundError:
        yield "FIX", "lass3d", "the project is not installed; make setup"
        return
    for requirement in declared:
        if requirement.marker is None:
            yield _package(requirement, "make setup")
    ranges = {one.name: one for one in declared if one.marker and one.marker.evaluate({"extra": "lvm"})}
    names = [spec.name for spec in models_of(project.manifest).values()]
    for package in dict.fromkeys(package for name in names for package in PACKAGES.get(name, ())):
        yield _package(ranges.get(package, Requirement(package)), "make setup-lvm, then add VENV=.venv-lvm")
    for module in {SYSTEM_LIBRARIES[name] for name in names if name in SYSTEM_LIBRARIES}:
        try:
            with suppress(ModuleNotFoundError):
                importlib.import_module(module)
        except ImportError as error:
            yield "FIX", module, f"{error}; on Debian and Ubuntu: apt-get install libgl1 libglib2.0-0"


def _package(requirement: Requirement, remedy: str) -> Finding:
    needs = f"needs {requirement.specifier}" if requirement.specifier else "any version"
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return "FIX", requirement.name, f"not installed, {needs}; {remedy}"
    if not requirement.specifier.contains(found, prereleases=True):
        return "FIX", requirement.name, f"{found}, {needs}; {remedy}"
    return "ok", requirement.name, found


def _weights(one: Wanted) -> Finding:
    what, found = f"{one.model} weights", one.found()
    if found is not None:
        if size := _size(found):
            return "ok", what, f"{one.weights}: {size_in_words(size)} in {found}"
        detail = f"{found} is empty; put the weights there or mend {one.key}.weights in the manifest"
    elif one.hub is None:
        detail = f"{one.weights} does not exist; mend {one.key}.weights in the manifest"
    else:
        detail = f"{one.weights} is not on this machine; make weights"
    return "FIX", what, detail


def _data(project: Project) -> Finding:
    what = f"data set {project.name}"
    if project.spec.simulate is not None and not project.spec.root.is_dir():
        return "ok", what, f"simulated; make captions writes it to {project.spec.root}"
    try:
        scans = sum(len(block.scan_ids) for block in project.blocks)
        found = f"{plural(scans, 'scan')} and {plural(project.image_count, 'image')}"
    except Lass3dError as error:
        return "FIX", what, str(error)
    return "ok", what, f"{found} to caption in {project.spec.root}"


def _disk(project: Project) -> Finding:
    """Whether the artifacts fit."""
    # Decision: shards take a quarter more than the point files, masks 100 kB per image.
    folder = project.folder
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    try:
        files = {part.path for block in project.blocks for part in project.points_of(block)}
        needed = _SHARD_PER_POINT_BYTE * sum(map(_size, files)) + _MASKS_PER_IMAGE * project.image_count
    except DataError:
        needed = 0.0
    needed = max(needed - _size(folder), _SPARE_BYTES)
    detail = f"{size_in_words(free)} free for {folder}, about {size_in_words(needed)} needed"
    if free < needed:
        return "FIX", "disk", f"{detail}; free some or set `artifacts` in the manifest"
    return "ok", "disk", detail


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
            yield "FIX", "GPU", detail
    if names:
        memory = [torch.cuda.get_device_properties(i).total_memory for i in range(len(names))]
        found = ", ".join(f"{name} with {size_in_words(size)}" for name, size in zip(names, memory))
        yield "ok", "GPU", found
    elif wanted_weights(project.manifest):
        yield "note", "GPU", "none; the models run on the CPU, which takes minutes per image"
    else:
        yield "ok", "GPU", "none, and none needed by the models that the manifest names"


def _backends() -> Iterator[Finding]:
    """The optional backends of sparse convolution. Nothing needs them."""
    for name, remedy in SPARSE_BACKENDS.items():
        if importlib.util.find_spec(name):
            yield "ok", name, "installed: net.backend may name it"
        else:
            yield "note", name, f"not installed, and not needed; for net.backend={name}: {remedy}"


def _cluster(project: Project) -> Iterator[Finding]:
    if importlib.util.find_spec("ray"):
        yield "ok", "ray", f"cluster at {project.manifest.ray_address!r}"
    else:
        yield "FIX", "ray", "not installed; pip install -e '.[ray]', or engine: local in the manifest"


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; 0 if there is nothing."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
