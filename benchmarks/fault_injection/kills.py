"""Kill programs at random moments and run them again: files must be whole, and results the same."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from .project import TARGETS, Target, TinyProject
from .warm import Ended

_TRIES = 20
"""If a run ends before it is killed, another moment is tried, at most this often."""


@dataclass
class Outcome:
    """The outcome for one target.

    kills: kills that struck a running process. broken: files with their final name that were not whole then.
    lost: runs that failed afterwards. identical: runs that ended with the same bytes.
    """

    target: Target
    kills: int = 0
    broken: int = 0
    lost: int = 0
    identical: int = 0
    remarks: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return self.kills == self.identical and not (self.broken or self.lost)


def kill_all(project: TinyProject, kills: int, seed: int) -> list[Outcome]:
    """Kill the targets `kills` times in total; those of several workers less often: they start slowly."""
    weights = [3 if target.workers == 1 else 1 for target in TARGETS]
    shares = _shares(kills, weights)
    with tqdm(total=kills, desc="kills", unit="kill", disable=None) as bar:
        return [
            _kill(project, target, share, random.Random(f"{seed} {target.name}"), bar)
            for target, share in zip(TARGETS, shares)
        ]


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """Divide `total` by weight; the last ones get the remainder."""
    shares = [total * weight // sum(weights) for weight in weights]
    for i in range(total - sum(shares)):
        shares[-1 - i] += 1
    return shares


def _kill(project: TinyProject, target: Target, kills: int, rng: random.Random, bar: tqdm) -> Outcome:
    outcome = Outcome(target)
    if not kills:
        return outcome
    reference = project.content(target.made)
    project.set_workers(target.workers)
    _remove(project, target)
    whole = project.run(target.command)
    if whole.status or project.content(target.made) != reference:
        raise RuntimeError(f"{target.name} alone, without a kill: {whole.status}, {whole.errors}")
    for _ in range(kills):
        _remove(project, target)
        project.set_workers(target.workers)
        killed = _killed(project, target, whole, rng)
        project.set_workers(1)
        outcome.kills += killed.killed
        _judge(project, target, reference, outcome)
        bar.update()
    return outcome


def _killed(project: TinyProject, target: Target, whole: Ended, rng: random.Random) -> Ended:
    """Run the target and kill it: half of the time by the clock, half at a file-system event."""
    for _ in range(_TRIES):
        if target.workers == 1 and rng.random() < 0.5:
            ended = project.run(target.command, kill_at_event=rng.randint(1, whole.events))
        else:
            ended = project.run(target.command, kill_after_s=rng.uniform(0, whole.seconds))
        if ended.killed:
            return ended
        _remove(project, target)
    return ended


def _judge(project: TinyProject, target: Target, reference: dict[str, bytes], outcome: Outcome) -> None:
    if target.name != "training":  # an unfinished run has checkpoints that a finished run has deleted
        left = project.content(target.made)
        broken = [name for name, content in left.items() if reference.get(name) != content]
        outcome.broken += len(broken)
        outcome.remarks += [f"{name} was not whole" for name in broken]
    again = project.run((*target.command, *target.resume))
    if again.status:
        outcome.lost += 1
        outcome.remarks.append(f"run again: {again.status}, {again.errors[-500:]}")
        _remove(project, target)
        project.run(target.command)
        return
    found = project.content(target.made)
    outcome.identical += found == reference
    outcome.remarks += [
        f"{name} differs"
        for name in sorted(found.keys() | reference.keys())
        if found.get(name) != reference.get(name)
    ]


def _remove(project: TinyProject, target: Target) -> None:
    path = project.folder / target.made
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
