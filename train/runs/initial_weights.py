"""`net.init`: start a run from the backbone of a finished model. Its classes may be others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from lass3d_core.errors import DataError, MissingArtifact
from lass3d_core.model.file import read_model

_BACKBONE = "segmenter.backbone."


@dataclass(frozen=True)
class TakenWeights:
    """What a backbone took from the model file `model`, by name.

    other_shape: in both, but of different shapes. missing: not in the file. left: only in the file.
    """

    model: str
    taken: tuple[str, ...]
    other_shape: tuple[str, ...]
    missing: tuple[str, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        count = len(self.taken) + len(self.other_shape) + len(self.missing)
        others = (*self.other_shape, *self.missing)
        rest = f"; not taken: {', '.join(others[:4])}{', ...' if len(others) > 4 else ''}" if others else ""
        return f"net.init: {len(self.taken)} of {count} tensors of the backbone are from {self.model}{rest}"


def take_weights(path: str, backbone: nn.Module) -> TakenWeights:
    """Copy into `backbone` every tensor of the model at `path` with the same name and shape.

    Raises MissingArtifact, CorruptArtifact, and DataError if no tensor fits.
    """
    _, weights = read_model(Path(path))
    theirs = {name[len(_BACKBONE) :]: one for name, one in weights.items() if name.startswith(_BACKBONE)}
    ours = backbone.state_dict()
    fitting = {name: one for name, one in theirs.items() if name in ours and ours[name].shape == one.shape}
    if not fitting:
        raise DataError(f"net.init: no tensor of {path} fits this network; set `net` as its card says")
    backbone.load_state_dict(fitting, strict=False)
    return TakenWeights(
        path,
        taken=tuple(fitting),
        other_shape=tuple(name for name in ours if name in theirs and name not in fitting),
        missing=tuple(name for name in ours if name not in theirs),
        left=tuple(name for name in theirs if name not in ours),
    )


def digest_of(path: str) -> str:
    """SHA-256 of the model file at `path`. Raises MissingArtifact."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise MissingArtifact(f"net.init: {path} cannot be read: {error.strerror or error}") from None


def initialised(make_backbone: Callable[[], nn.Module], path: str) -> Callable[[], nn.Module]:
    """`make_backbone`, whose backbones start from the model at `path`."""

    def make() -> nn.Module:
        backbone = make_backbone()
        take_weights(path, backbone)
        return backbone

    return make
