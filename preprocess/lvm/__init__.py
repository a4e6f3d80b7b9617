"""Language-vision models (LVMs) behind three Protocols of one method; each adapter is one file.

An adapter takes a list of images and makes the batches itself. If it raises an error, the stage tries the
images one by one and records those that fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from lass3d_core.errors import BackendUnavailable, UnknownName
from lass3d_core.manifest.schema import LvmSpec, LvmStage, Manifest
from lass3d_core.records import Entity, ImageCaption, TextRows
from lass3d_core.settings import WrongSettings, nearest, read, to_json
from preprocess.lvm.params import RunParams


class ImageCaptioner(Protocol):
    """Describes images."""

    def caption(self, images: Sequence[np.ndarray]) -> list[ImageCaption]:
        """A caption per image (H,W,3) uint8 RGB, with boxes in its pixels."""


class EntityDetector(Protocol):
    """Finds and masks the things of a vocabulary."""

    def detect(
        self, images: Sequence[np.ndarray], vocabularies: Sequence[Sequence[str]]
    ) -> list[list[Entity]]:
        """Per image (H,W,3) uint8 RGB, the entities above the model's floor, by phrases of its vocabulary."""


class TextEncoder(Protocol):
    """Embeds texts. cut: how many texts so far were longer than the model's window and lost their end."""

    cut: int

    def encode(self, texts: Sequence[str]) -> TextRows:
        """Token-level rows, and one pooled row per text, float32."""


def load_captioner(spec: LvmSpec) -> ImageCaptioner:
    """Load the captioner that `spec` names. Raises UnknownName, BackendUnavailable."""
    return _load("image_captions", spec)


def load_detector(spec: LvmSpec) -> EntityDetector:
    """Load the detector that `spec` names. Raises UnknownName, BackendUnavailable."""
    return _load("entities", spec)


def load_encoder(spec: LvmSpec) -> TextEncoder:
    """Load the text encoder that `spec` names. Raises UnknownName, BackendUnavailable."""
    return _load("text_embeddings", spec)


def adapters(stage: LvmStage) -> dict[str, tuple[type, str]]:
    """Name -> (parameters, module:class) of every model that can serve `stage`.

    A new model is one line here. Nothing is loaded: a package is imported only if its model is chosen.
    """
    from preprocess.lvm import params
    from preprocess.lvm.hashing import HashingParams
    from preprocess.lvm.palette import PaletteCaptionParams, PaletteEntityParams

    match stage:
        case "image_captions":
            return {
                "palette": (PaletteCaptionParams, "palette:PaletteCaptioner"),
                "kosmos2": (params.Kosmos2Params, "kosmos2:Kosmos2Captioner"),
                "florence2": (params.Florence2Params, "florence2:Florence2Captioner"),
            }
        case "entities":
            return {
                "palette": (PaletteEntityParams, "palette:PaletteDetector"),
                "grounded_sam": (params.GroundedSamParams, "grounded_sam:GroundedSamDetector"),
                "hf_grounded_sam": (params.HfGroundedSamParams, "hf_grounded_sam:HfGroundedSamDetector"),
            }
        case "text_embeddings":
            return {
                "hashing": (HashingParams, "hashing:HashingEncoder"),
                "open_clip": (params.OpenClipParams, "open_clip:OpenClipEncoder"),
                "hf_text": (params.HfTextParams, "hf_text:HfTextEncoder"),
            }


def param_types(stage: LvmStage) -> dict[str, type]:
    """Name -> the frozen dataclass of parameters, for every model that can serve `stage`."""
    return {name: params for name, (params, _) in adapters(stage).items()}


def check_lvm(stage: LvmStage, spec: LvmSpec, path: str, problems: list[str]) -> None:
    """Append what is wrong with `spec` to `problems`."""
    known = param_types(stage)
    if spec.name not in known:
        problems.append(
            f"{path}.name: there is no model {spec.name!r} "
            f"(known: {', '.join(known)}){nearest(spec.name, known)}"
        )
        return
    try:
        read(known[spec.name], spec.params, f"{path}.params")
    except WrongSettings as error:
        problems += error.problems


def params_of(stage: LvmStage, spec: LvmSpec) -> Any:
    """`spec.params` as the model's dataclass, with defaults. Raises UnknownName."""
    try:
        return read(param_types(stage)[spec.name], spec.params, f"{stage}.params")
    except WrongSettings as error:
        raise UnknownName(str(error)) from None


def identity_of(stage: LvmStage, spec: LvmSpec) -> dict[str, Any]:
    """The parameters that decide the answers, as plain JSON: all except `run` (device and batch size).

    Raises UnknownName.
    """
    return {key: value for key, value in to_json(params_of(stage, spec)).items() if key != "run"}


def run_params(stage: str, manifest: Manifest) -> RunParams | None:
    """The device and the batch size of the stage's model; None without a model, or if it has no weights."""
    match stage:
        case "image_captions" | "entities" | "text_embeddings":
            return getattr(params_of(stage, getattr(manifest, stage)), "run", None)
    return None


def _load(stage: LvmStage, spec: LvmSpec) -> Any:
    known = adapters(stage)
    if spec.name not in known:
        raise UnknownName(
            f"{stage}: there is no model {spec.name!r} (known: {', '.join(known)}){nearest(spec.name, known)}"
        )
    params = params_of(stage, spec)
    module, adapter = known[spec.name][1].split(":")
    try:
        return getattr(import_module(f"preprocess.lvm.{module}"), adapter)(params)
    except ImportError as error:
        raise BackendUnavailable(
            f"{error}; run `make setup-lvm`, which installs the models' packages"
        ) from None
