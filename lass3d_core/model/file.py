"""The model file: weights as safetensors, and the card in its header. It opens anywhere and holds no code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from lass3d_core.errors import CorruptArtifact, MissingArtifact
from lass3d_core.files.atomic import atomic_write
from lass3d_core.model.card import SCHEMA, ModelCard

_CARD, _DIGEST = "lass3d", "sha256"


def write_model(path: Path, card: ModelCard, weights: Mapping[str, Tensor]) -> None:
    """Write `weights` and their card, whole or not at all. Raises StorageError."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    # One entry alone: safetensors writes several in no fixed order, and equal models are equal files.
    metadata = {_CARD: json.dumps(json.loads(card.to_json()) | {_DIGEST: _digest(tensors)})}
    content = safetensors.torch.save(tensors, metadata)
    with atomic_write(path) as part:
        part.write_bytes(content)


def read_card(path: Path) -> ModelCard:
    """The card alone; no weights are read. Raises MissingArtifact, CorruptArtifact."""
    return _card_of(path, _metadata_of(path))[0]


def read_model(path: Path) -> tuple[ModelCard, dict[str, Tensor]]:
    """The card and the weights, on the CPU; their checksum is verified.

    Raises MissingArtifact, and CorruptArtifact for anything but a whole model file of this version.
    """
    card, digest = _card_of(path, _metadata_of(path))
    try:
        tensors = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CorruptArtifact(f"{path} is damaged ({_first_line(error)}); copy it again") from None
    if _digest(tensors) != digest:
        raise CorruptArtifact(f"{path} is damaged (its checksum differs); copy it again")
    return card, tensors


def _metadata_of(path: Path) -> dict[str, str]:
    if not path.is_file():
        kind = "is a folder, not a model file" if path.is_dir() else "does not exist"
        raise MissingArtifact(f"{path} {kind}; a training run writes model.safetensors into its folder")
    try:
        with safetensors.safe_open(path, framework="pt") as opened:
            return dict(opened.metadata() or {})
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CorruptArtifact(
            f"{path} is no whole safetensors file ({_first_line(error)}); copy it again, "
            'or make it with "make model RUN=folder"'
        ) from None


def _card_of(path: Path, metadata: Mapping[str, str]) -> tuple[ModelCard, str]:
    """The card, and the checksum of the weights beside it."""
    if _CARD not in metadata:
        raise CorruptArtifact(
            f"{path} is a safetensors file of something else: its header has no card; "
            'make one with "make model RUN=folder"'
        )
    try:
        values = json.loads(metadata[_CARD])
        schema, digest = values.get("schema"), str(values.pop(_DIGEST, ""))
    except (ValueError, AttributeError):
        raise CorruptArtifact(f"{path}: the card in its header is no JSON; copy the file again") from None
    if schema != SCHEMA:
        raise CorruptArtifact(
            f"{path} has schema {schema}, this version reads {SCHEMA}; install the version that wrote it, "
            "or export the run again"
        )
    try:
        return ModelCard.from_json(json.dumps(values)), digest
    except ValueError as error:
        raise CorruptArtifact(
            f"{path}: the card in its header is wrong, or of another version of the code: {error}; "
            "copy the file again, or install the version that wrote it"
        ) from None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
