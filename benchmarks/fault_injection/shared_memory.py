"""Train with a /dev/shm that is too small for the workers: one line and status 2, no hang, nothing lost."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from .project import RUN_FOLDER, TRAINING, TinyProject

_WORKERS = ("--set", "data.workers=2")
_SMALLEST, _LARGEST = 1 << 18, 1 << 23
"""Bytes of /dev/shm: from too small for one batch to enough for all."""


@dataclass
class SharedMemory:
    """The outcome.

    refused: runs that said in one line that /dev/shm is too small. fitted: runs that ended well.
    identical: runs that gave the same bytes when run again. remarks: on runs that are neither.
    """

    runs: int = 0
    refused: int = 0
    fitted: int = 0
    identical: int = 0
    remarks: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return self.runs == self.refused + self.fitted == self.identical


def fill_all(project: TinyProject, runs: int, seed: int) -> SharedMemory | None:
    """Train `runs` times, each with a /dev/shm of random size. None if this process may not mount."""
    if project.warm.call("benchmarks.fault_injection.server:can_mount").output.strip() != "yes":
        return None
    rng, outcome = random.Random(f"{seed} shared memory"), SharedMemory(runs)
    reference = _result(project)
    for _ in range(runs):
        project.remove(RUN_FOLDER)
        size = int(_SMALLEST * (_LARGEST / _SMALLEST) ** rng.random())
        ended = project.run((*TRAINING.command, *_WORKERS), shared_bytes=size)
        said = ended.error_lines
        if ended.status == 2 and len(said) == 1 and "/dev/shm" in said[0]:
            outcome.refused += 1
        elif ended.status == 0:
            outcome.fitted += 1
        else:
            what = "hung" if ended.hung else f"ended with {ended.status}"
            outcome.remarks.append(f"{size} bytes: {what}, said {ended.errors[-500:]!r}")
        again = project.run((*TRAINING.command, *TRAINING.resume))
        if again.status:
            outcome.remarks.append(f"run again: {again.status}, {again.errors[-500:]}")
        outcome.identical += _result(project) == reference
    return outcome


def _result(project: TinyProject) -> dict[str, bytes]:
    """All that the run left but its settings, which name the number of workers."""
    files = project.content(RUN_FOLDER)
    return {name: content for name, content in files.items() if not name.endswith("/config.json")}
