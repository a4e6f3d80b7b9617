"""Checkpoints, from which a run is resumed. `torch.load(path, weights_only=True)` opens them anywhere.

A file is the archive that `torch.save` writes and, behind its end, where `torch.load` does not look, the
archive's SHA-256: `torch.load` does not notice a flipped byte. A checkpoint has no random state: every draw
of step t derives from (seed, t).
"""

from __future__ import annotations

import hashlib
import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lass3d_core.errors import CorruptArtifact, MissingArtifact, StaleArtifact
from lass3d_core.files.atomic import atomic_write

KEPT = 2  # latest checkpoints that stay: if the last is damaged, the one before it can be used

_SUFFIX = ".pt"
_UNREADABLE = (
    *(RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError),
    *(OSError, EOFError, MemoryError, pickle.UnpicklingError),
)
"""What torch.load raises on bytes that it did not write."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run.

    steps_done: number of steps taken.
    run_digest: of the configuration and the data.
    method, optimiser: their state_dict.
    """

    steps_done: int
    run_digest: str
    method: dict[str, Any]
    optimiser: dict[str, Any]


def save(
    folder: Path, steps_done: int, run_digest: str, method: nn.Module, optimiser: torch.optim.Optimizer
) -> Path:
    """Write `folder/step-NNNNNN.pt` and delete all but the latest KEPT. Raises StorageError."""
    values = {
        "steps_done": steps_done,
        "run_digest": run_digest,
        "method": method.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    path = folder / f"step-{steps_done:06d}{_SUFFIX}"
    buffer = io.BytesIO()
    torch.save(values, buffer)
    with atomic_write(path) as part, part.open("wb") as file:
        file.write(buffer.getbuffer())
        file.write(_digest(buffer.getbuffer()))
    drop_old(folder)
    return path


def drop_old(folder: Path) -> None:
    """Delete all but the latest KEPT checkpoints."""
    for old in checkpoints(folder)[:-KEPT]:
        old.unlink(missing_ok=True)


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    return sorted(folder.glob(f"step-*{_SUFFIX}"), key=steps_of)


def steps_of(path: Path) -> int:
    """The number of steps done at the checkpoint `path`."""
    return int(path.stem.removeprefix("step-"))


def load_latest(folder: Path, run_digest: str) -> Checkpoint:
    """Load the latest checkpoint of `folder`. Raises MissingArtifact, CorruptArtifact, StaleArtifact.

    Decision: a damaged checkpoint is an error. Whether to go back to the one before it is the user's choice.
    """
    found = checkpoints(folder)
    if not found:
        raise MissingArtifact(f'{folder} holds no checkpoint; run "make train"')
    return load(found[-1], run_digest)


def load(path: Path, run_digest: str) -> Checkpoint:
    """The checkpoint at `path`, with its tensors on the CPU. Raises CorruptArtifact, StaleArtifact."""
    values = _read(path)
    if values["run_digest"] != run_digest:
        raise StaleArtifact(
            f"{path} belongs to a run with other settings or data; give this run a TAG=NAME (--tag NAME)"
        )
    return Checkpoint(**values)


def _read(path: Path) -> dict[str, Any]:
    content = memoryview(path.read_bytes())
    archive = content[: -len(_digest(content[:0]))]
    if bytes(content[len(archive) :]) != _digest(archive):
        raise CorruptArtifact(f"{path} is damaged (its checksum differs); delete it{_what_then(path)}")
    try:
        values = torch.load(io.BytesIO(archive), map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise CorruptArtifact(f"{path} cannot be read: {first}; delete it{_what_then(path)}") from error
    if not isinstance(values, dict) or values.keys() != Checkpoint.__dataclass_fields__.keys():
        raise CorruptArtifact(f"{path} holds something else than a checkpoint; delete it{_what_then(path)}")
    return values


def _what_then(path: Path) -> str:
    """What a resumed run does once `path` is deleted."""
    earlier = [other for other in checkpoints(path.parent) if steps_of(other) < steps_of(path)]
    return f", and RESUME=1 goes on from {earlier[-1].name}" if earlier else " and train again"


def _digest(archive: memoryview) -> bytes:
    return b"\nsha256 " + hashlib.sha256(archive).hexdigest().encode("ascii")
