"""Language-vision models behind three one-method Protocols; each adapter is one file.

An adapter takes a list of images and batches it itself. It raises for a batch that it cannot do; the stage
then tries the images one by one and records the failing ones by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from lass3d_core.errors import BackendUnavailable, UnknownName
from lass3d_core.manifest.schema import LvmSpec, LvmStage, Manifest
from lass3d_core.records import Entity, ImageCaption, TextRows
from lass3d_core.settings import WrongSettings, nearest, read, to_json
from preprocess.lvm.params import RunParams


class ImageCaptioner(Protocol):
    """Names what an image shows."""

    def caption(self, images: Sequence[np.ndarray]) -> list[ImageCaption]:
        """One caption per image; images are (H,W,3) uint8 RGB, boxes are in pixels of the given image."""


class EntityDetector(Protocol):
    """Finds and masks the things that a vocabulary names."""

    def detect(
        self, images: Sequence[np.ndarray], vocabularies: Sequence[Sequence[str]]
    ) -> list[list[Entity]]:
        """Per image, every entity above the model's floor, its phrase taken from that image's vocabulary."""


class TextEncoder(Protocol):
    """Embeds texts. cut: how many of them so far were longer than the model's window and lost their end."""

    cut: int

    def encode(self, texts: Sequence[str]) -> TextRows:
        """Token-level rows and one pooled row per text, float32."""


@contextmanager
def _packages_at_hand() -> Iterator[None]:
    """A package that an adapter imports and that is not installed, as one clear line."""
    try:
        yield
    except ImportError as error:
        raise BackendUnavailable(
            f"{error}; run `make setup-lvm`, which installs the models' packages"
        ) from None


@_packages_at_hand()
def load_captioner(spec: LvmSpec) -> ImageCaptioner:
    """The captioner that `spec` names, its model loaded once. Raises UnknownName, BackendUnavailable."""
    match spec.name:
        case "palette":
            from preprocess.lvm.palette import PaletteCaptioner

            return PaletteCaptioner(params_of("image_captions", spec))
        case "kosmos2":
            from preprocess.lvm.kosmos2 import Kosmos2Captioner

            return Kosmos2Captioner(params_of("image_captions", spec))
        case "florence2":
            from preprocess.lvm.florence2 import Florence2Captioner

            return Florence2Captioner(params_of("image_captions", spec))
    raise _unknown("image_captions", spec.name)


@_packages_at_hand()
def load_detector(spec: LvmSpec) -> EntityDetector:
    """The detector that `spec` names, its model loaded once. Raises UnknownName, BackendUnavailable."""
    match spec.name:
        case "palette":
            from preprocess.lvm.palette import PaletteDetector

            return PaletteDetector(params_of("entities", spec))
        case "grounded_sam":
            from preprocess.lvm.grounded_sam import GroundedSamDetector

            return GroundedSamDetector(params_of("entities", spec))
        case "hf_grounded_sam":
            from preprocess.lvm.hf_grounded_sam import HfGroundedSamDetector

            return HfGroundedSamDetector(params_of("entities", spec))
    raise _unknown("entities", spec.name)


@_packages_at_hand()
def load_encoder(spec: LvmSpec) -> TextEncoder:
    """The text encoder that `spec` names, its model loaded once. Raises UnknownName, BackendUnavailable."""
    match spec.name:
        case "hashing":
            from preprocess.lvm.hashing import HashingEncoder

            return HashingEncoder(params_of("text_embeddings", spec))
        case "open_clip":
            from preprocess.lvm.open_clip import OpenClipEncoder

            return OpenClipEncoder(params_of("text_embeddings", spec))
        case "hf_text":
            from preprocess.lvm.hf_text import HfTextEncoder

            return HfTextEncoder(params_of("text_embeddings", spec))
    raise _unknown("text_embeddings", spec.name)


def param_types(stage: LvmStage) -> dict[str, type]:
    """Name -> the frozen dataclass of parameters, for every model that can serve `stage`. Loads no model."""
    from preprocess.lvm import params
    from preprocess.lvm.hashing import HashingParams
    from preprocess.lvm.palette import PaletteCaptionParams, PaletteEntityParams

    match stage:
        case "image_captions":
            return {
                "palette": PaletteCaptionParams,
                "kosmos2": params.Kosmos2Params,
                "florence2": params.Florence2Params,
            }
        case "entities":
            return {
                "palette": PaletteEntityParams,
                "grounded_sam": params.GroundedSamParams,
                "hf_grounded_sam": params.HfGroundedSamParams,
            }
        case "text_embeddings":
            return {
                "hashing": HashingParams,
                "open_clip": params.OpenClipParams,
                "hf_text": params.HfTextParams,
            }


def check_lvm(stage: LvmStage, spec: LvmSpec, path: str, problems: list[str]) -> None:
    """Append what is wrong with `spec` (a `manifest_file.LvmCheck`)."""
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
    """`spec.params` as the adapter's frozen dataclass; defaults filled in. Raises UnknownName."""
    try:
        return read(param_types(stage)[spec.name], spec.params, f"{stage}.params")
    except WrongSettings as error:
        raise UnknownName(str(error)) from None


def identity_of(stage: LvmStage, spec: LvmSpec) -> dict[str, Any]:
    """The parameters that decide the answers, as plain JSON: all but `run`, which device and batch size fill.

    Raises UnknownName.
    """
    return {key: value for key, value in to_json(params_of(stage, spec)).items() if key != "run"}


def run_params(stage: str, manifest: Manifest) -> RunParams | None:
    """Where and how fast the stage's model runs; None without a model, or for one without weights."""
    match stage:
        case "image_captions" | "entities" | "text_embeddings":
            return getattr(params_of(stage, getattr(manifest, stage)), "run", None)
    return None


def _unknown(stage: LvmStage, name: str) -> UnknownName:
    known = param_types(stage)
    return UnknownName(
        f"{stage}: there is no model {name!r} (known: {', '.join(known)}){nearest(name, known)}"
    )
