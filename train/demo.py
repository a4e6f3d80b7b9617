"""Three runs side by side, and what their figures say."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from lass3d_core.errors import Lass3dError
from lass3d_core.files.atomic import write_text
from lass3d_core.manifest.schema import Manifest
from train.methods.lass3d import Lass3dConfig
from train.presets import demo_for
from train.runs.run import Run
from train.runs.run_folder import RunFolder
from train.runs.side_by_side import PlannedRun, outcomes

NOISE = 7.0
"""Differences of mIoU in % below this, from one seed, are noise: twice the spread of such a difference.

docs/results.md: over three seeds the difference of two methods with the same labelled scans has a standard
deviation of 1.8 to 3.5.
"""


def demo(
    manifest: Manifest, dataset: str, ratio: float, seed: int, processes: int, tag: str | None = None
) -> dict[str, Run]:
    """Train supervised, LASS3D without text and LASS3D on the same labelled scans; print how they compare.

    Runs that are finished are not trained again, unfinished ones go on. title -> run, LASS3D last.
    Raises StaleArtifact where another run lies in the folder of one, Lass3dError where one fails.
    """
    plans = demo_plans(manifest, dataset, ratio, seed, tag)
    runs = {plan.title: plan.open() for plan in plans}
    for run in runs.values():
        run.require_own_folder()
    to_do = [plan for plan in plans if not runs[plan.title].is_finished]
    print(
        f"training {len(to_do)} of {len(plans)} runs"
        if to_do
        else f"all {len(plans)} runs were trained before"
    )
    train_all(to_do, processes)
    write_text(
        listing(manifest, dataset),
        json.dumps({plan.title: str(plan.folder) for plan in plans}, indent=1) + "\n",
    )
    print(comparison(runs))
    return runs


def listing(manifest: Manifest, dataset: str) -> Path:
    """demo.json: title -> the run's folder; a run's page compares it with the others that are named here."""
    return manifest.runs / dataset / "demo.json"


def demo_plans(
    manifest: Manifest, dataset: str, ratio: float, seed: int, tag: str | None = None
) -> list[PlannedRun]:
    """What the demo compares, the baseline first. tag: ends the names of the run folders."""
    preset = demo_for(manifest.datasets[dataset])
    supervised, lass3d = (preset(dataset, method, ratio, seed) for method in ("supervised", "lass3d"))
    without_text = replace(lass3d, method=without_captions(lass3d.method))
    artifacts, spec = manifest.artifacts_of(dataset), manifest.datasets[dataset]
    return [
        PlannedRun(title, config, artifacts, spec, RunFolder.of(manifest.runs, config, tag).path)
        for title, config, tag in (
            ("supervised only", supervised, tag),
            ("LASS3D without text", without_text, f"no-text-{tag}" if tag else "no-text"),
            ("LASS3D", lass3d, tag),
        )
    ]


def without_captions(method: object) -> Lass3dConfig:
    """The same method with text taken from it (Tab. 3, first row)."""
    assert isinstance(method, Lass3dConfig)
    return replace(method, captions="none")


def train_all(plans: Sequence[PlannedRun], at_most: int) -> None:
    """Train every plan, `at_most` at a time.

    Raises Lass3dError where one fails; the others are stopped, to go on another time.
    """
    with closing(outcomes(plans, at_most)) as ended:
        for outcome in ended:
            if outcome.error is not None:
                raise Lass3dError(
                    f"the run {outcome.plan.folder} failed: {outcome.error}; "
                    "the same command goes on once the cause is mended"
                )


def comparison(runs: Mapping[str, Run]) -> str:
    """Test and validation mIoU of each run as a table, and what may be concluded for the last of `runs`."""
    splits = next(iter(runs.values())).splits
    figures = {title: [_miou(run, split) for split in splits] for title, run in runs.items()}
    width = max(map(len, runs))
    lines = [f"{'mIoU in %':<{width}}" + "".join(f"{split:>8}" for split in splits)]
    lines += [
        f"{title:<{width}}" + "".join(f"{value:8.1f}" for value in row) for title, row in figures.items()
    ]
    *controls, last = runs
    lines += [_verdict(splits[-1], last, figures[last][-1], title, figures[title][-1]) for title in controls]
    run = runs[last]
    lines.append(
        f"points alone at test time, {len(run.split.labelled)} scans labelled ({run.split.protocol}, "
        f"{run.config.ratio:g} %, seed {run.config.seed}), {run.config.schedule.steps} steps, one seed: "
        f"differences under about {NOISE:.0f} are noise"
    )
    return "\n".join(lines)


def _verdict(split: str, title: str, miou: float, other: str, other_miou: float) -> str:
    gap = miou - other_miou
    better = "better" if gap > 0 else "worse"
    noise = ", which is within the noise" if abs(gap) < NOISE else ""
    return f"on {split}, {title} is {abs(gap):.1f} {better} than {other}{noise}"


def _miou(run: Run, split: str) -> float:
    """In percent, over the classes that occur; NaN where there is none."""
    share = run.evaluated(split).miou_absent_dropped
    return math.nan if share is None else 100 * share
