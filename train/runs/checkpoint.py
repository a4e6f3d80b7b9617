"""Checkpoints, from which a run is resumed. `torch.load(path, weights_only=True)` opens them anywhere.

A file is the archive that `torch.save` writes and, behind its end, where `torch.load` does not look, the
archive's SHA-256: `torch.load` does not notice a flipped byte. A checkpoint has no random state: every draw
of step t derives from (seed, t).
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from lass3d_core.errors import CorruptArtifact, MissingArtifact, StaleArtifact
from lass3d_core.files.atomic import atomic_write

KEPT = 2  # latest checkpoints that stay: if the last is damaged, the one before it can be used

_SUFFIX = ".pt"
_FIELDS: dict[str, type] = {"steps_done": int, "run_digest": str, "method": dict, "optimiser": dict}
_SCALER = "scaler"  # a further field of runs in float16
_UNREADABLE = (
    *(RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError),
    *(OSError, EOFError, MemoryError, pickle.UnpicklingError),
)
"""What torch.load raises on bytes that it did not write."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run.

    path: the file. steps_done: number of steps taken.
    method, optimiser: their state_dict. scaler: of the losses of float16; None for other precisions.
    """

    path: Path
    steps_done: int
    method: dict[str, Any]
    optimiser: dict[str, Any]
    scaler: dict[str, Any] | None = None

    def restore(
        self,
        method: nn.Module,
        optimiser: torch.optim.Optimizer | None = None,
        scaler: GradScaler | None = None,
    ) -> None:
        """Give the state to `method`, optimiser and scaler. Raises StaleArtifact if it does not fit."""
        if why := _difference(self.method, method.state_dict()):
            raise _of_another_version(self.path, f"the weight {why}")
        method.load_state_dict(self.method)
        if optimiser is not None and (why := _refused(self.optimiser, optimiser)):
            raise _of_another_version(self.path, f"the optimiser: {why}")
        if scaler is not None:
            try:
                scaler.load_state_dict(self.scaler or {})
            except (RuntimeError, LookupError, TypeError, ValueError) as error:
                why = " ".join(str(error).split())
                raise _of_another_version(self.path, f"the scaler: {why}") from None


def save(
    folder: Path,
    steps_done: int,
    run_digest: str,
    method: nn.Module,
    optimiser: torch.optim.Optimizer,
    scaler: GradScaler | None = None,
) -> Path:
    """Write `folder/step-NNNNNN.pt` and delete all but the latest KEPT. Raises StorageError."""
    values = {
        "steps_done": steps_done,
        "run_digest": run_digest,
        "method": method.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    if scaler is not None:
        values[_SCALER] = scaler.state_dict()
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
    found = folder.glob(f"step-*{_SUFFIX}")
    return sorted((path for path in found if path.stem.removeprefix("step-").isdecimal()), key=steps_of)


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
    return Checkpoint(path, values["steps_done"], values["method"], values["optimiser"], values.get(_SCALER))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = memoryview(path.read_bytes())
    except OSError as error:
        raise CorruptArtifact(f"{path} cannot be read: {error.strerror or error}; restore it") from None
    archive = content[: -len(_digest(content[:0]))]
    if bytes(content[len(archive) :]) != _digest(archive):
        raise CorruptArtifact(f"{path} is damaged (its checksum differs); delete it{_what_then(path)}")
    try:
        values = torch.load(io.BytesIO(archive), map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise CorruptArtifact(f"{path} cannot be read: {first}; delete it{_what_then(path)}") from error
    if not isinstance(values, dict) or values.keys() - {_SCALER} != _FIELDS.keys():
        raise _of_another_version(path, f"it holds other fields than {', '.join(_FIELDS)}")
    for name, kind in (_FIELDS | ({_SCALER: dict} if _SCALER in values else {})).items():
        if not isinstance(values[name], kind):
            raise _of_another_version(path, f"{name} is a {type(values[name]).__name__}")
    return values


def _of_another_version(path: Path, why: str) -> StaleArtifact:
    return StaleArtifact(
        f"{path} was made by another version of the code ({why}); check out that version, or train again "
        "under another TAG=NAME (--tag NAME)"
    )


def _difference(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str | None:
    """The first weight that is only in one of two states, or has another shape; None if none."""
    for name in dict.fromkeys([*expected, *found]):
        if name not in found:
            return f"{name} is missing"
        if name not in expected:
            return f"{name} has no place"
        shapes = [tuple(getattr(weights[name], "shape", ())) for weights in (found, expected)]
        if shapes[0] != shapes[1]:
            return f"{name} has the shape {shapes[0]}, not {shapes[1]}"
    return None


def _refused(state: Mapping[str, Any], optimiser: torch.optim.Optimizer) -> str | None:
    """Load the state of an optimiser, and look at what torch does not. Why it does not fit, or None."""
    settings, names = optimiser.param_groups[0].keys(), _names_of_state(optimiser)
    try:
        optimiser.load_state_dict(dict(state))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        return " ".join(f"{type(error).__name__}: {error}".split())
    missing = [name for group in optimiser.param_groups for name in settings - group.keys()]
    for parameter, values in optimiser.state.items():
        missing += names - values.keys()
        if not isinstance(parameter, Tensor):
            return "it has more parameters"
        if any(value.shape not in ((), parameter.shape) for value in values.values() if value is not None):
            return f"a state does not have the shape {tuple(parameter.shape)} of its parameter"
    return f"{missing[0]} is missing" if missing else None


def _names_of_state(optimiser: torch.optim.Optimizer) -> set[str]:
    """What such an optimiser remembers of a parameter after a step: "exp_avg", "momentum_buffer"."""
    group = optimiser.param_groups[0]
    probe = nn.Parameter(torch.zeros(1, device=group["params"][0].device))
    twin = type(optimiser)([probe])  # type: ignore[call-arg]
    twin.param_groups[0].update({name: value for name, value in group.items() if name != "params"})
    probe.grad = torch.zeros_like(probe)
    twin.step()
    return set(twin.state[probe])


def _what_then(path: Path) -> str:
    """What a resumed run does once `path` is deleted."""
    earlier = [other for other in checkpoints(path.parent) if steps_of(other) < steps_of(path)]
    return f", and RESUME=1 goes on from {earlier[-1].name}" if earlier else " and train again"


def _digest(archive: memoryview) -> bytes:
    return b"\nsha256 " + hashlib.sha256(archive).hexdigest().encode("ascii")
