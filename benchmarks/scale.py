"""Does cost grow linearly with the scans, and memory not at all? Every stage at 1, 4 and 16 times the scans.

    python benchmarks/scale.py [--scans 64] [--cameras 1] [--shard-scans 8] [--only STAGE ...]
    python benchmarks/scale.py --units
    python benchmarks/scale.py --paper [--set costs.gpu_step_s=0.5 ...]

The scans are tiny, and the same few over and over. So the cost of many scans is seen (planning, records,
indices, files), and not the cost of large ones. Each stage runs in a fresh process.
Seconds are processor time without the imports. `power` is the exponent p of seconds ~ scans^p between the two
larger sizes: 1 if cost is linear, less if a start-up cost still shows. `memory` is the peak above the
imports. `B/scan` is what each further scan adds to it.

--units measures what a scan of full size costs here. --paper calculates hours, bytes and hosts for the sizes
of the public data sets from such costs; `--set` changes any of them. docs/scale.md has both.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # a plain checkout

from benchmarks.scaling.paper import paper, with_settings
from benchmarks.scaling.project import Size, write_originals, write_project
from benchmarks.scaling.stages import STAGES, Taken, measured, warm_up
from benchmarks.scaling.units import units

TIMES = (1, 4, 16)
_STREET_SHARE = 40
"""Tiny scans per simulated scan of full size."""


def main() -> None:
    """Measure, or calculate, and print."""
    options = _options()
    if options.units:
        print(units())
        return
    if options.paper:
        print(paper(with_settings(options.set)))
        return
    sizes = [Size(options.scans * times, options.cameras, options.shard_scans) for times in TIMES]
    with tempfile.TemporaryDirectory(prefix="lass3d-scale-") as folder:
        taken = measure(Path(folder), sizes, options.only or list(STAGES))
    print(table(sizes, taken))


def measure(folder: Path, sizes: list[Size], stages: list[str]) -> dict[str, list[Taken]]:
    """Stage -> what it took at each size."""
    originals = folder / "originals"
    originals.mkdir()
    write_originals(originals)
    warm_up(write_project(folder / "warm", originals, Size(4, 1, 4)))
    taken: dict[str, list[Taken]] = {stage: [] for stage in stages}
    with tqdm(total=len(sizes) * len(stages), unit="run") as bar:
        for size in sizes:
            manifest = write_project(folder / str(size.scans), originals, size)
            for stage in stages:
                bar.set_description(f"{size.scans} scans: {stage}")
                taken[stage].append(measured(stage, manifest, scans_of(stage, size)))
                bar.update()
    return taken


def scans_of(stage: str, size: Size) -> int:
    """The number of scans that a stage gets."""
    return max(4, size.scans // _STREET_SHARE) if stage == "street" else size.scans


def table(sizes: list[Size], taken: dict[str, list[Taken]]) -> str:
    """One line per stage."""
    counts = " / ".join(str(size.scans) for size in sizes)
    size = sizes[0]
    lines = [
        f"{counts} scans, {size.cameras} images each, shards of {size.shard_scans} scans",
        f"{'':18} {'ms/scan':>23} {'power':>6} {'memory, MB':>20} {'B/scan':>8} {'written, B/scan':>16}",
    ]
    for stage, measurements in taken.items():
        lines.append(_line(stage, [scans_of(stage, size) for size in sizes], measurements))
    return "\n".join(lines)


def _line(stage: str, counts: list[int], taken: list[Taken]) -> str:
    each = " ".join(f"{1e3 * one.seconds / count:7.2f}" for one, count in zip(taken, counts))
    used = [one.peak_bytes - one.start_bytes for one in taken]
    memory = " ".join(f"{value / 1e6:6.1f}" for value in used)
    growth = (used[-1] - used[-2]) / (counts[-1] - counts[-2])
    power = math.log(taken[-1].seconds / taken[-2].seconds) / math.log(counts[-1] / counts[-2])
    written = taken[-1].written_bytes / counts[-1]
    return f"{stage:18} {each} {power:6.2f} {memory} {growth:8.0f} {written:16.0f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=64, help="the smallest size (default: 64)")
    parser.add_argument("--cameras", type=int, default=1, help="images per scan (default: 1)")
    parser.add_argument("--shard-scans", type=int, default=8, help="scans per shard (default: 8)")
    parser.add_argument("--only", nargs="+", choices=list(STAGES), metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--units", action="store_true", help="the cost of one scan of full size")
    parser.add_argument("--paper", action="store_true", help="hours, bytes and hosts of the public data sets")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change an assumption"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
