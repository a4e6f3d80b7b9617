"""`make demo`: three runs side by side, and a comparison of their figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import closing

from lass3d_core.errors import Lass3dError
from lass3d_core.files.json_files import write_json
from lass3d_core.manifest.schema import Manifest
from train.config import with_settings
from train.data.text_models import warn_of_stand_ins
from train.presets import demo_for
from train.runs.run import Run
from train.runs.run_folder import RunFolder
from train.runs.side_by_side import PlannedRun, outcomes

# Twice the largest standard deviation, 3.5, of the difference of two methods over three seeds, with the same
# labelled scans (docs/results.md).
NOISE = 7.0
"""A difference of mIoU in % from one seed is noise if it is smaller than this."""


def demo(
    manifest: Manifest, dataset: str, ratio: float, seed: int, processes: int, tag: str | None = None
) -> dict[str, Run]:
    """Train supervised, LASS3D without text, and LASS3D on the same labelled scans. Print a comparison.

    Finished runs are not trained again; unfinished runs are resumed. Returns title -> run, LASS3D last.
    Raises StaleArtifact if the folder of a run holds another run, Lass3dError if a run fails.
    """
    plans = demo_plans(manifest, dataset, ratio, seed, tag)
    runs = {plan.title: plan.open() for plan in plans}
    for run in runs.values():
        run.require_own_folder()
    pairs = next(iter(runs.values())).pairs
    warn_of_stand_ins(pairs, manifest.datasets[dataset], [plan.config.method for plan in plans])
    to_do = [plan for plan in plans if not runs[plan.title].is_finished]
    done = f"all {len(plans)} runs were trained before"
    print(f"training {len(to_do)} of {len(plans)} runs" if to_do else done)
    train_all(to_do, processes)
    # The page of a run shows the other runs from this list.
    write_json(manifest.runs / dataset / "demo.json", {plan.title: str(plan.folder) for plan in plans})
    print(comparison(runs))
    return runs


def demo_plans(
    manifest: Manifest, dataset: str, ratio: float, seed: int, tag: str | None = None
) -> list[PlannedRun]:
    """The runs that the demo compares, the baseline first. tag: ends the names of their folders."""
    preset = demo_for(manifest.datasets[dataset])
    supervised, lass3d = (preset(dataset, method, ratio, seed) for method in ("supervised", "lass3d"))
    without_text = with_settings(lass3d, ["method.captions=none"])  # the first row of Table 3
    artifacts, spec = manifest.artifacts_of(dataset), manifest.datasets[dataset]
    compared = (
        ("supervised only", supervised, tag),
        ("LASS3D without text", without_text, f"no-text-{tag}" if tag else "no-text"),
        ("LASS3D", lass3d, tag),
    )
    return [
        PlannedRun(title, config, artifacts, spec, RunFolder.of(manifest.runs, config, tag).path)
        for title, config, tag in compared
    ]


def train_all(plans: Sequence[PlannedRun], at_most: int) -> None:
    """Train every plan, `at_most` at a time.

    Raises Lass3dError if one fails. The others are then stopped; they can be resumed.
    """
    with closing(outcomes(plans, at_most)) as ended:
        for outcome in ended:
            if outcome.error is not None:
                raise Lass3dError(
                    f"the run {outcome.plan.folder} failed: {outcome.error}; "
                    "fix the cause and run the same command again: it resumes the runs"
                )


def comparison(runs: Mapping[str, Run]) -> str:
    """A table of the mIoU of each run, and the differences of the last run to each of the others."""
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
    """mIoU in percent, over the classes that occur; NaN without any."""
    share = run.evaluated(split).miou_absent_dropped
    return math.nan if share is None else 100 * share
