"""Language-vision models (LVMs) behind three Protocols of one method; each adapter is one file.

An adapter takes a list of images and makes the batches itself. If it raises an error, the stage tries the
images one by one and records those that fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lass3d_core import plugins
from lass3d_core.errors import BackendUnavailable, UnknownName
from lass3d_core.manifest.schema import LvmSpec, LvmStage, Manifest
from lass3d_core.records import Entity, ImageCaption, TextRows
from lass3d_core.settings import WrongSettings, nearest, read, to_json
from preprocess.lvm import params
from preprocess.lvm.weights import content_of

# Stage -> name -> (parameters, module:class) of every model that can serve it. A new model is one line.
# Nothing is loaded here: a package is imported only if its model is chosen. Other packages bring further
# models by entry points, see lass3d_core/plugins.
ADAPTERS: dict[str, dict[str, tuple[type, str]]] = {
    "image_captions": {
        "palette": (params.PaletteCaptionParams, "palette:PaletteCaptioner"),
        "segmenter": (params.SegmenterParams, "segmenter:SegmenterCaptioner"),
        "kosmos2": (params.Kosmos2Params, "kosmos2:Kosmos2Captioner"),
        "florence2": (params.Florence2Params, "florence2:Florence2Captioner"),
        "qwen3_vl": (params.Qwen3VlParams, "qwen3_vl:Qwen3VlCaptioner"),
    },
    "entities": {
        "palette": (params.PaletteEntityParams, "palette:PaletteDetector"),
        "segmenter": (params.SegmenterParams, "segmenter:SegmenterDetector"),
        "grounded_sam": (params.GroundedSamParams, "grounded_sam:GroundedSamDetector"),
        "hf_grounded_sam": (params.HfGroundedSamParams, "hf_grounded_sam:HfGroundedSamDetector"),
        "owlv2_sam": (params.Owlv2SamParams, "owlv2_sam:Owlv2SamDetector"),
        "sam3": (params.Sam3Params, "sam3:Sam3Detector"),
    },
    "text_embeddings": {
        "hashing": (params.HashingParams, "hashing:HashingEncoder"),
        "open_clip": (params.OpenClipParams, "open_clip:OpenClipEncoder"),
        "hf_text": (params.HfTextParams, "hf_text:HfTextEncoder"),
    },
}

AUTHORS = frozenset({"grounded_sam"})
"""The models from packages of their authors, which are the extra [lvm-paper]; the others need [lvm] alone."""


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


def check_lvm(stage: LvmStage, spec: LvmSpec, path: str, problems: list[str]) -> None:
    """Append what is wrong with `spec` to `problems`."""
    try:
        _read(stage, spec, path)
    except WrongSettings as error:
        problems += error.problems


def params_of(stage: str, spec: LvmSpec) -> Any:
    """`spec.params` as the model's dataclass, with defaults. Raises UnknownName."""
    try:
        return _read(stage, spec, stage)
    except WrongSettings as error:
        raise UnknownName(str(error)) from None


def identity_of(stage: LvmStage, spec: LvmSpec) -> dict[str, Any]:
    """What decides the answers, as plain JSON: all parameters except `run`. Raises UnknownName.

    The weights of a user's own network are known by their content, since a new training has the same name.
    """
    chosen = params_of(stage, spec)
    identity = {key: value for key, value in to_json(chosen).items() if key != "run"}
    if isinstance(chosen, params.SegmenterParams):
        identity["weights"] = content_of(Path(chosen.weights).expanduser())
    return identity


def run_params(stage: str, manifest: Manifest) -> params.RunParams | None:
    """The device and the batch size of the stage's model; None without a model, or if it has no weights."""
    return getattr(params_of(stage, getattr(manifest, stage)), "run", None) if stage in ADAPTERS else None


def extra_of(models: Iterable[str]) -> str:
    """The extra, and the ending of the environment, that serves all these models together."""
    return "lvm-paper" if AUTHORS.intersection(models) else "lvm"


def _read(stage: str, spec: LvmSpec, path: str) -> Any:
    known = (*ADAPTERS[stage], *plugins.names(stage))
    if spec.name not in known:
        names = ", ".join(known)
        raise WrongSettings(
            [f"{path}.name: there is no model {spec.name!r} (known: {names}){nearest(spec.name, known)}"]
        )
    ours = ADAPTERS[stage].get(spec.name) or plugins.load(stage, spec.name)
    return read(ours[0], spec.params, f"{path}.params")


def _load(stage: LvmStage, spec: LvmSpec) -> Any:
    chosen = params_of(stage, spec)
    if spec.name not in ADAPTERS[stage]:
        return plugins.load(stage, spec.name)[1](chosen)
    module, adapter = ADAPTERS[stage][spec.name][1].split(":")
    try:
        return getattr(import_module(f"preprocess.lvm.{module}"), adapter)(chosen)
    except ImportError as error:
        raise BackendUnavailable(
            f"{error}; run `make setup-{extra_of([spec.name])}`, which installs the models' packages"
        ) from None
