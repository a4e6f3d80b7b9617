"""Stress test: train LASS3D+ on phrases that are wrong on purpose, and compare it with its controls.

    python benchmarks/experiments/wrong_phrases.py --seeds 0 1 2 3 4 5 6 7 --processes 2

Each seed trains seven runs of the preset `street` and prints their mIoU on the test split. With --figures
FOLDER the table is also written to DATASET/wrong-phrases.md there, each time that as many seeds as processes
are done, and the figures of the runs beside it. Runs whose figures are found there are not trained again,
those of `make table` neither.
--rows takes some of the rows, by the words in brackets:

- supervised only [supervised], LASS3D+ without text [control], and LASS3D+ [plus]: the ordinary runs, shared
  with `make table TABLE=plus`;
- LASS3D+ with 30 % of the phrases of every training scan replaced by random phrases of the data set [30];
- LASS3D+ with all phrases of the unlabelled scans replaced [all]. The labelled scans, on which the method
  counts what a phrase means, keep theirs;
- LASS3D+ with the phrases of two classes exchanged on all scans [swapped], see --swap;
- LASS3D+ with phrases that are all right [right], see right_phrases.py.

Wrong phrases must not leave LASS3D+ below the same recipe without text. Finished runs are not trained again.
"""

from __future__ import annotations

import argparse
import hashlib
import shlex
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(1, str(Path(__file__).resolve().parents[2]))  # a plain checkout

from benchmarks.experiments.right_phrases import RightRun
from lass3d_core.errors import exit_status
from lass3d_core.files.atomic import write_text
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.manifest.schema import Manifest
from lass3d_core.records import PairedScan
from lass3d_core.words.lexicon import Lexicon
from train.config import with_settings
from train.data.paired_scans import PairedScans
from train.demo.runs import train_all
from train.presets import preset_for
from train.runs.run import Run
from train.runs.run_folder import RunFolder
from train.runs.side_by_side import PlannedRun
from train.tables.csv_files import lines_csv, run_line
from train.tables.markdown import interval_words
from train.tables.plan import recorded_figures
from train.tables.records import Records, cells_of, recorded_lines
from train.tables.run_figures import RunFigures
from train.tables.statistics import differences, interval, verdict

CONTROL = "LASS3D+ without text"
SPLIT = "test"
ROWS = ("supervised", "control", "30", "all", "swapped", "plus", "right")


@dataclass(frozen=True)
class WrongPhrases(PairedScans):
    """Pair shards whose phrases are exchanged as they are read.

    share: probability with which a phrase becomes a random one of the data set.
    right: scans that keep their phrases.
    seed: of the draws. A scan is exchanged in the same way at every read.
    swap: two classes by name. A phrase that names one of them becomes a phrase that names the other.
    """

    share: float
    right: frozenset[str]
    seed: int
    swap: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, pairs: PairedScans, share: float, right: Sequence[str], seed: int, swap: tuple[str, ...] = ()
    ) -> WrongPhrases:
        """The same shards, with wrong phrases."""
        same = {field.name: getattr(pairs, field.name) for field in fields(PairedScans)}
        return cls(**same, share=share, right=frozenset(right), seed=seed, swap=swap)

    @cached_property
    def _exchanged(self) -> dict[str, str]:
        """What becomes of the phrases of the two classes."""
        lexicon = Lexicon(self.header.class_names, {})
        of_class: list[list[str]] = [[] for _ in self.swap]
        for phrase in self.text_table.phrases:
            named = lexicon.classes_of(phrase)
            for place, name in enumerate(self.swap):
                if named == {self.header.class_names.index(name)}:
                    of_class[place].append(phrase)
        one, other = of_class or ([], [])
        there = {phrase: other[place % len(other)] for place, phrase in enumerate(one) if other}
        back = {phrase: one[place % len(one)] for place, phrase in enumerate(other) if one}
        return there | back

    def read(self, scan_id: str) -> PairedScan:
        """One scan. All points of a phrase are exchanged alike."""
        scan = super().read(scan_id)
        if scan_id in self.right:
            return scan
        known = self.text_table.phrases
        rng = np.random.default_rng((self.seed, zlib.crc32(scan_id.encode())))
        phrases = tuple(
            known[rng.integers(len(known))]
            if rng.random() < self.share
            else self._exchanged.get(phrase, phrase)
            for phrase in scan.pairs.phrases
        )
        return replace(scan, pairs=replace(scan.pairs, phrases=phrases))

    @cached_property
    def training_digest(self) -> str:
        """Differs from the digest of the right pairs, so that no ordinary command reads a stressed run."""
        content = (super().training_digest, self.share, sorted(self.right), self.seed, self.swap)
        return hashlib.sha256(repr(content).encode()).hexdigest()


@dataclass(frozen=True)
class StressedRun(PlannedRun):
    """A run on wrong phrases. spare_labelled: leave the phrases of the labelled scans as they are."""

    share: float
    spare_labelled: bool
    swap: tuple[str, ...] = ()

    def open(self, device: str = "cpu", pairs: PairedScans | None = None) -> Run:
        """The run, which sees its data through WrongPhrases."""
        run = super().open(device, pairs)
        right = run.split.labelled if self.spare_labelled else ()
        return replace(run, pairs=WrongPhrases.of(run.pairs, self.share, right, self.config.seed, self.swap))


def main() -> None:
    """Train what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--manifest", type=Path, default=Path("data_manifest.yaml"))
    parser.add_argument("--dataset", help="a data set of the manifest (its default)")
    parser.add_argument("--ratio", type=float, default=2.0, help="percent of the scans with labels (2)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", nargs="*", default=[], help="key=value settings of every run")
    parser.add_argument("--preset", default="street")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS), help="(all)")
    parser.add_argument("--swap", nargs=2, default=("car", "person"), metavar="CLASS", help="(car person)")
    parser.add_argument("--figures", type=Path, help="folder for DATASET/wrong-phrases.md")
    parser.add_argument("--processes", type=int, default=1, help="runs at a time (1)")
    options = parser.parse_args()
    manifest, dataset = read_manifest(options.manifest, options.dataset)
    plans = {
        seed: plans_of(
            manifest, dataset, options.preset, options.ratio, seed, options.set, tuple(options.swap)
        )
        for seed in options.seeds
    }
    chosen = {seed: [of_seed[row] for row in options.rows] for seed, of_seed in plans.items()}
    records = Records.read(options.figures) if options.figures else Records()
    found: dict[tuple[str, int], float] = {}
    lines: list[dict[str, str]] = []
    folder = options.figures / dataset if options.figures else None
    listed = folder and folder / "wrong-phrases-runs.csv"
    before = recorded_lines(listed) or [] if listed and listed.is_file() else []
    # As many seeds at a time as processes: with one missing run per seed, all processes have work.
    for first in range(0, len(options.seeds), options.processes):
        some = [run for seed in options.seeds[first : first + options.processes] for run in chosen[seed]]
        for title, run, figures in figures_of(some, records, options.processes):
            found[title, run.config.seed] = next(one.miou or 0.0 for one in figures if one.split == SPLIT)
            lines += [run_line(title, run) | cells_of(one) for one in figures]
        if folder and listed:
            write_text(listed, lines_csv(lines, before))
            write_text(folder / "wrong-phrases.md", page(table(found), options, seeds_of(found)))
    print(table(found))


def figures_of(
    plans: Sequence[PlannedRun], records: Records, processes: int
) -> list[tuple[str, Run, tuple[RunFigures, ...]]]:
    """Title, run and figures of each plan; those that are neither trained nor recorded are trained."""
    runs = [plan.open() for plan in plans]
    recorded = [recorded_figures(run, SPLIT, records)[0] for run in runs]
    for run, figures in zip(runs, recorded):
        if not figures:
            run.require_own_folder()
    missing = [not figures and not run.is_finished for run, figures in zip(runs, recorded)]
    train_all([plan for plan, is_missing in zip(plans, missing) if is_missing], processes)
    found = [figures or RunFigures.read(run) for run, figures in zip(runs, recorded)]
    return [(plan.title, run, figures) for plan, run, figures in zip(plans, runs, found)]


def seeds_of(found: Mapping[tuple[str, int], float]) -> list[int]:
    """The seeds that have figures, in their order."""
    return list(dict.fromkeys(seed for _, seed in found))


def plans_of(
    manifest: Manifest,
    dataset: str,
    preset: str,
    ratio: float,
    seed: int,
    settings: Sequence[str],
    swap: tuple[str, ...],
) -> dict[str, PlannedRun]:
    """The runs of a seed by ROWS, in the order of the table."""
    spec = manifest.datasets[dataset]
    recipe = preset_for(preset, spec)

    def planned(title: str, method: str, tag: str | None, *own: str) -> PlannedRun:
        """A run of the recipe with these settings. `own` come last and win."""
        # `method.*` is for LASS3D+.
        shared = [one for one in settings if method == "lass3d_plus" or not one.startswith("method.")]
        config = with_settings(recipe(dataset, method, ratio, seed), [*shared, *own])
        folder = RunFolder.of(manifest.runs, config, tag).path
        return PlannedRun(title, config, manifest.artifacts_of(dataset), spec, folder)

    def stressed(title: str, tag: str, share: float, **how: Any) -> PlannedRun:
        plan = planned(title, "lass3d_plus", tag)
        return StressedRun(**vars(plan), share=share, **{"spare_labelled": False} | how)

    runs = (
        planned("supervised only", "supervised", None),
        planned(CONTROL, "lass3d_plus", "no-text", "method.strength=0"),
        stressed("30 % of the phrases random", "wrong-30", 0.3),
        stressed("all phrases of unlabelled scans random", "wrong", 1.0, spare_labelled=True),
        stressed(f"names exchanged: {', '.join(swap)}", "swapped", 0.0, swap=swap),
        planned("LASS3D+", "lass3d_plus", None),
        RightRun(**vars(planned("every phrase right", "lass3d_plus", "right"))),
    )
    return dict(zip(ROWS, runs, strict=True))


def page(told: str, options: argparse.Namespace, seeds: Sequence[int]) -> str:
    """The table as a page, with the command and what it was made from. seeds: those that have figures."""
    listed = ", ".join(map(str, seeds))
    command = shlex.join(["python", "benchmarks/experiments/wrong_phrases.py", *sys.argv[1:]])
    made = f"Preset {options.preset}, {options.ratio:g} % labelled, seeds {listed}, {SPLIT} split."
    return f"# LASS3D+ on wrong phrases\n\n`{command}`\n\n{made}\n\n```\n{told}\n```\n"


def table(miou: Mapping[tuple[str, int], float]) -> str:
    """(title, seed) -> mIoU in percent as a table, with paired differences to the control."""
    values: dict[str, dict[int, float]] = {}
    for (title, seed), percent in miou.items():
        values.setdefault(title, {})[seed] = percent
    width = max(map(len, values))
    lines = [f"{'test mIoU in %':<{width}}   mean  minus {CONTROL}, mean and 95 %"]
    for title, by_seed in values.items():
        mean, _ = interval_words(interval(list(by_seed.values())))
        gap = interval(list(differences(by_seed, values.get(CONTROL, {})).values()))
        against = (
            ""
            if title == CONTROL or gap is None
            else " ".join((*interval_words(gap, "+"), f"({verdict(gap)})"))
        )
        lines.append(f"{title:<{width}} {mean:>6}  {against}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(exit_status(main, "run the same command again"))
