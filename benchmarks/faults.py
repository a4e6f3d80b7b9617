"""Test that faults of the machine lose no data; exit status 1 if they do.

    python benchmarks/faults.py [--kills 200] [--flips 500] [--seed 0]

Every command of a tiny project is stopped at random moments and run again: killed (SIGKILL, with its
workers), asked to end (SIGTERM, SIGUSR1, Ctrl-C), and killed where files cannot be locked (flock fails). Half
of the moments are chosen by the clock, half are file-system events. Files must be whole after the stop. A
program that is asked must say one line and end with the signal's status. The repeated run must give the same
bytes as an undisturbed one. Training in a /dev/shm that is too small must end with one line. Then bytes
of shards, tables and checkpoints are flipped: reading must notice it, or give the same values.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # a plain checkout

from benchmarks.fault_injection import no_flock
from benchmarks.fault_injection.flips import Flips, flip_all
from benchmarks.fault_injection.kills import KINDS, Outcome, kill_all
from benchmarks.fault_injection.project import TinyProject
from benchmarks.fault_injection.shared_memory import SharedMemory, fill_all
from benchmarks.fault_injection.warm import Warm


def main() -> int:
    """Run all faults; return 1 if something was lost or went unnoticed."""
    options = _options()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lass3d-faults-") as folder:
        library = no_flock.build(Path(folder))
        with Warm(library) as warm:
            project = TinyProject(Path(folder) / "project", warm)
            project.make_everything()
            flips = flip_all(project, options.flips, options.seed)
            kinds = KINDS if library else [kind for kind in KINDS if not kind.without_flock]
            kills = kill_all(project, options.kills, options.seed, kinds)
            shared = fill_all(project, max(1, options.kills // 20), options.seed)
    print(kill_table(kills))
    if library is None:
        print("killed without flock: left out, it needs a C compiler")
    print(f"\n{shared_memory_lines(shared)}\n")
    print(flip_table(flips))
    judged = (one.good for of_kind in (kills, flips, [shared] if shared else []) for one in of_kind)
    good = all(judged)
    print(
        f"\n{sum(one.kills for one in kills)} kills and {options.flips} flips in "
        f"{time.monotonic() - started:.0f} s, seed {options.seed}: {'nothing lost' if good else 'LOSSES'}"
    )
    return 0 if good else 1


def kill_table(outcomes: list[Outcome]) -> str:
    """A table for each kind with one line per command, then the remarks."""
    lines = []
    for kind in dict.fromkeys(one.kind for one in outcomes):
        some = [one for one in outcomes if one.kind == kind]
        lines.append(
            f"{kind.name:22} {'kills':>6} {'half files':>11} {'lost':>6} {'rude':>6} {'same bytes':>11}"
        )
        lines += [_kill_line(one.target.name, [one]) for one in some] + [_kill_line("all", some), ""]
    return "\n".join(
        [*lines, *(f"{one.target.name}: {remark}" for one in outcomes for remark in one.remarks)]
    )


def _kill_line(name: str, outcomes: list[Outcome]) -> str:
    names = ("kills", "broken", "lost", "rude", "identical")
    sums = [sum(getattr(one, name) for one in outcomes) for name in names]
    return "  {:20} {:6} {:11} {:6} {:6} {:11}".format(name, *sums)


def shared_memory_lines(found: SharedMemory | None) -> str:
    """One line on the runs in a small /dev/shm, then the remarks."""
    if found is None:
        return "small /dev/shm: left out, this user may not mount"
    line = (
        f"small /dev/shm: {found.runs} runs, {found.refused} ended with one line, {found.fitted} fitted, "
        f"{found.identical} with the same bytes when run again"
    )
    return "\n".join([line, *found.remarks])


def flip_table(outcomes: list[Flips]) -> str:
    """A table with one line per file and its harmless bytes, then the remarks."""
    lines = [f"{'flipped':22} {'flips':>6} {'detected':>11} {'silent':>6} {'harmless':>11}"]
    for one in outcomes:
        what = ", ".join(f"{count} {name}" for name, count in one.harmless.items())
        counts = f"{one.count:6} {one.detected:11} {len(one.others):6} {one.harmless.total():11}"
        lines.append(f"{one.name:22} {counts}  {what}")
    return "\n".join([*lines, *(f"  {one.name}: {remark}" for one in outcomes for remark in one.others)])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--flips", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
