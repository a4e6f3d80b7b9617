"""Stop programs at random moments and run them again: files must be whole, and results the same.

They are stopped by SIGKILL, by a signal that asks them to end, and by SIGKILL where flock is missing.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from .no_flock import ERRNOS
from .project import TARGETS, Target, TinyProject
from .warm import Ended

_TRIES = 20
"""If a run ends before it is stopped, another moment is tried, at most this often."""

_ASKING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


@dataclass(frozen=True)
class Kind:
    """How a program is stopped. share: of all stops."""

    name: str
    share: float
    signals: tuple[int, ...]
    without_flock: bool = False


KILLED = Kind("killed", 0.5, (signal.SIGKILL,))
ASKED = Kind("asked to end", 0.375, _ASKING)
WITHOUT_FLOCK = Kind("killed without flock", 0.125, (signal.SIGKILL,), without_flock=True)
KINDS = (KILLED, ASKED, WITHOUT_FLOCK)


@dataclass
class Outcome:
    """The outcome for one target, stopped in one way.

    kills: stops that struck a running process. broken: files with their final name that were not whole then.
    lost: runs that failed afterwards. identical: runs that ended with the same bytes.
    rude: programs that were asked to end and hung, or ended with a wrong status or more than one line.
    """

    kind: Kind
    target: Target
    kills: int = 0
    broken: int = 0
    lost: int = 0
    identical: int = 0
    rude: int = 0
    remarks: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return self.kills == self.identical and not (self.broken or self.lost or self.rude)


def kill_all(
    project: TinyProject, kills: int, seed: int, kinds: Sequence[Kind] = (KILLED, ASKED)
) -> list[Outcome]:
    """Stop the targets `kills` times in total; those of several workers less often: they start slowly."""
    shares = _shares(kills, [kind.share for kind in kinds])
    outcomes = [
        Outcome(kind, target, kills=count)
        for kind, share in zip(kinds, shares)
        for target, count in zip(
            TARGETS, _shares(share, [3 if target.workers == 1 else 1 for target in TARGETS])
        )
        if count
    ]
    with tqdm(total=kills, desc="kills", unit="kill", disable=None) as bar:
        return [_kill(project, planned, seed, bar) for planned in outcomes]


def _shares(total: int, weights: Sequence[float]) -> list[int]:
    """Divide `total` by weight; the last ones get the remainder."""
    shares = [int(total * weight / sum(weights)) for weight in weights]
    for i in range(total - sum(shares)):
        shares[-1 - i] += 1
    return shares


def _kill(project: TinyProject, planned: Outcome, seed: int, bar: tqdm) -> Outcome:
    """Carry out the `kills` of `planned`."""
    kind, target = planned.kind, planned.target
    rng, outcome = random.Random(f"{seed} {kind.name} {target.name}"), Outcome(kind, target)
    reference = project.content(target.made)
    project.set_workers(target.workers)
    project.remove(target.made)
    whole = project.run(target.command)
    if whole.status or project.content(target.made) != reference:
        raise RuntimeError(f"{target.name} alone, without a kill: {whole.status}, {whole.errors}")
    for _ in range(planned.kills):
        project.remove(target.made)
        project.set_workers(target.workers)
        conditions = {"flock_errno": rng.choice(ERRNOS)} if kind.without_flock else {}
        number = rng.choice(kind.signals)
        killed = _killed(project, target, whole, rng, number, conditions)
        project.set_workers(1)
        outcome.kills += _was_stopped(killed, number)
        _judge_manners(killed, number, outcome)
        _judge(project, reference, outcome, conditions)
        bar.update()
    return outcome


def _killed(
    project: TinyProject,
    target: Target,
    whole: Ended,
    rng: random.Random,
    number: int,
    conditions: dict[str, int],
) -> Ended:
    """Run the target and stop it: half of the time by the clock, half at a file-system event."""
    # A terminal and a scheduler signal the whole group; `kill` and `scontrol` one process.
    more: dict[str, Any] = {
        "signal_number": number,
        "whole_group": number == signal.SIGKILL or rng.random() < 0.5,
    }
    seconds = whole.seconds
    for _ in range(_TRIES):
        if target.workers == 1 and rng.random() < 0.5:
            more["kill_at_event"], more["kill_after_s"] = rng.randint(1, whole.events), None
        else:
            more["kill_at_event"], more["kill_after_s"] = None, rng.uniform(0, seconds)
        ended = project.run(target.command, **more, **conditions)
        if ended.status:
            return ended
        seconds = min(seconds, ended.seconds)  # the first run may have had a busy machine
        project.remove(target.made)
    return ended


def _was_stopped(ended: Ended, number: int) -> bool:
    """By the signal itself, which is right as the interpreter starts or ends, or by the program's answer."""
    return ended.status in (-number, 128 + number) and not ended.hung


def _judge_manners(ended: Ended, number: int, outcome: Outcome) -> None:
    said = ended.error_lines
    if ended.status == -number and not ended.hung:
        return
    if not _was_stopped(ended, number) or len(said) != 1 or not said[0].startswith("interrupted"):
        outcome.rude += 1
        what = "hung" if ended.hung else f"ended with {ended.status}"
        outcome.remarks.append(f"signal {number}: {what}, said {ended.errors[-500:]!r}")


def _judge(
    project: TinyProject, reference: dict[str, bytes], outcome: Outcome, conditions: dict[str, int]
) -> None:
    target = outcome.target
    if target.name != "training":  # an unfinished run has checkpoints that a finished run has deleted
        left = project.content(target.made)
        broken = [name for name, content in left.items() if reference.get(name) != content]
        outcome.broken += len(broken)
        outcome.remarks += [f"{name} was not whole" for name in broken]
    again = project.run((*target.command, *target.resume), **conditions)
    if again.status:
        outcome.lost += 1
        outcome.remarks.append(f"run again: {again.status}, {again.errors[-500:]}")
        project.remove(target.made)
        project.run(target.command)
        return
    found = project.content(target.made)
    outcome.identical += found == reference
    outcome.remarks += [
        f"{name} differs"
        for name in sorted(found.keys() | reference.keys())
        if found.get(name) != reference.get(name)
    ]
