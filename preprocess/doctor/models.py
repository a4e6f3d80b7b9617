"""The packages and the weights of the manifest's language-vision models."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement

from lass3d_core.errors import Lass3dError
from lass3d_core.manifest.schema import LvmSpec
from lass3d_core.manifest.stand_ins import stand_in_warning
from preprocess.doctor.finding import Finding
from preprocess.doctor.machine import bytes_of
from preprocess.doctor.packages import installed
from preprocess.lvm import extra_of
from preprocess.lvm.fetch_weights import Wanted, models_of, wanted_weights
from preprocess.project import Project
from preprocess.status import size_in_words

_GROUNDED_SAM = "groundingdino-py segment-anything torchvision transformers timm matplotlib"

OF_ITS_OWN = "segmenter"
"""The model whose packages are an extra of its name, and a part of every environment."""

RUNTIMES = {".onnx": "onnxruntime", ".tflite": "ai-edge-litert"}
"""What runs a user's network, by the suffix of its file."""

PACKAGES: dict[str, tuple[str, ...]] = {
    "kosmos2": ("transformers",),
    "florence2": ("transformers",),
    "qwen3_vl": ("transformers", "torchvision"),
    "grounded_sam": tuple(_GROUNDED_SAM.split()),
    "hf_grounded_sam": ("transformers", "torchvision"),
    "owlv2_sam": ("transformers", "torchvision"),
    "sam3": ("transformers", "torchvision"),
    "open_clip": ("open_clip_torch", "torchvision"),
    "hf_text": ("transformers",),
    "segmenter": tuple(RUNTIMES.values()),
}
"""Model -> the packages that it imports, in the extras [lvm] and [lvm-paper], or in one of its own name."""

VERSIONS = {"sam3": {"transformers": ">=5"}}
"""Model -> package -> the versions that it needs, where the extra allows more."""

SYSTEM_LIBRARIES = {"grounded_sam": "cv2"}
"""Model -> a module that fails to import, though it is installed, if a library of the system is absent."""


def models(project: Project) -> Iterator[Finding]:
    """What the models need. Where there is no image, none of it is needed."""
    try:
        are_needed = project.image_count > 0
    except Lass3dError:  # data.py says why the data set cannot be read
        are_needed = True
    for found in _needs(project):
        yield found if are_needed or found.mark == "ok" else found._replace(mark="note")
    named = {stage: (spec.name,) for stage, spec in models_of(project.manifest).items()}
    warning = stand_in_warning(project.name, project.spec, named)
    if warning is not None:
        yield Finding("note", "stand-ins", warning)


def _needs(project: Project) -> Iterator[Finding]:
    """Packages, libraries of the system, weights."""
    try:
        declared = [Requirement(line) for line in requires("lass3d") or ()]
    except PackageNotFoundError:
        return
    extras = ("lvm", "lvm-paper", OF_ITS_OWN)
    ranges = {
        one.name: one
        for one in declared
        if one.marker and any(one.marker.evaluate({"extra": extra}) for extra in extras)
    }
    specs = models_of(project.manifest).values()
    names = [spec.name for spec in specs]
    extra = extra_of(names)
    remedy_of_all = f"make setup-{extra}, then add VENV=.venv-{extra}"
    for package, remedy in dict(needed for spec in specs for needed in _needed(spec, remedy_of_all)).items():
        own = [VERSIONS[name][package] for name in names if package in VERSIONS.get(name, ())]
        declared_range = str(ranges[package].specifier) if package in ranges else ""
        yield installed(package, own[0] if own else declared_range, remedy)
    for module in {SYSTEM_LIBRARIES[name] for name in names if name in SYSTEM_LIBRARIES}:
        try:
            with suppress(ModuleNotFoundError):
                importlib.import_module(module)
        except ImportError as error:
            yield Finding(
                "FIX", module, f"{error}; on Debian and Ubuntu: apt-get install libgl1 libglib2.0-0"
            )
    yield from map(_weights, wanted_weights(project.manifest))


def _needed(spec: LvmSpec, remedy: str) -> Iterator[tuple[str, str]]:
    """The packages that a model needs, each with its remedy; of a user's network the one that runs it."""
    if spec.name != OF_ITS_OWN:
        yield from ((package, remedy) for package in PACKAGES.get(spec.name, ()))
        return
    suffix = Path(str(spec.params.get("weights"))).suffix.lower()
    if suffix in RUNTIMES:
        yield RUNTIMES[suffix], "make setup"


def _weights(one: Wanted) -> Finding:
    what, found = f"{one.model} weights", one.found()
    if found is not None:
        if size := bytes_of(found):
            return Finding("ok", what, f"{one.weights}: {size_in_words(size)} in {found}")
        detail = f"{found} is empty; put the weights there or mend {one.key}.weights in the manifest"
    elif one.hub is None:
        detail = f"{one.weights} does not exist; mend {one.key}.weights in the manifest"
    else:
        detail = f"{one.weights} is not on this machine; make weights"
    return Finding("FIX", what, detail)
