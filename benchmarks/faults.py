"""Test that killed programs and flipped bytes lose no data; exit status 1 if they do.

    python benchmarks/faults.py [--kills 200] [--flips 500] [--seed 0]

Every command of a tiny project is killed (SIGKILL, with its workers) at random moments and run again. Half of
the moments are chosen by the clock, half are file-system events. Files must be whole after the kill,
and the repeated run must give the same bytes as an undisturbed one. Then single bytes of shards, tables and
checkpoints are flipped: reading must notice it, or give the same values.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from fault_injection.flips import Flips, flip_all
from fault_injection.kills import Outcome, kill_all
from fault_injection.project import TinyProject
from fault_injection.warm import Warm


def main() -> int:
    """Run kills and flips; return 1 if something was lost or went unnoticed."""
    options = _options()
    started = time.monotonic()
    with Warm() as warm, tempfile.TemporaryDirectory(prefix="lass3d-faults-") as folder:
        project = TinyProject(Path(folder) / "project", warm)
        project.make_everything()
        flips = flip_all(project, options.flips, options.seed)
        kills = kill_all(project, options.kills, options.seed)
    print(kill_table(kills))
    print()
    print(flip_table(flips))
    good = all(one.good for one in kills) and all(one.good for one in flips)
    print(
        f"\n{sum(one.kills for one in kills)} kills and {options.flips} flips in "
        f"{time.monotonic() - started:.0f} s, seed {options.seed}: {'nothing lost' if good else 'LOSSES'}"
    )
    return 0 if good else 1


def kill_table(outcomes: list[Outcome]) -> str:
    """A table with one line per command, then the remarks."""
    lines = [f"{'killed':22} {'kills':>6} {'half files':>11} {'lost':>6} {'same bytes':>11}"]
    for one in outcomes:
        lines.append(f"{one.target.name:22} {one.kills:6} {one.broken:11} {one.lost:6} {one.identical:11}")
    sums = [sum(getattr(one, name) for one in outcomes) for name in ("kills", "broken", "lost", "identical")]
    lines.append("{:22} {:6} {:11} {:6} {:11}".format("all", *sums))
    return "\n".join(
        [*lines, *(f"  {one.target.name}: {remark}" for one in outcomes for remark in one.remarks)]
    )


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
