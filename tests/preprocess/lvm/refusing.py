"""Detectors that must refuse their weights in one line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from lass3d_core.errors import Lass3dError
from lass3d_core.manifest.schema import EntitiesSpec
from preprocess.lvm import load_detector


def refused(name: str, params: dict[str, Any], kind: type[Lass3dError]) -> str:
    """The line with which the detector `name` refuses its weights, by an error of `kind`."""
    with pytest.raises(kind) as error:
        load_detector(EntitiesSpec(name=name, params=params))
    (line,) = str(error.value).splitlines()
    return line


def without(folder: Path, key: str, copy: Path) -> Path:
    """A copy of the weights in `folder` that lacks one parameter."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, copy)
    weights = load_file(folder / "model.safetensors")
    del weights[key]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    return copy
