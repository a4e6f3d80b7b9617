"""`make demo`: three runs side by side, and a comparison of their figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing

from lass3d_core.errors import Lass3dError
from lass3d_core.files.json_files import write_json
from lass3d_core.labels import AbsentClasses
from lass3d_core.manifest.schema import Manifest
from lass3d_core.paper.metrics import mean_iou, other_rule, rule_in_words
from train.config import with_settings
from train.data.text_models import warn_of_stand_ins
from train.evaluate import Metrics
from train.presets import demo_for
from train.report.words import counted
from train.runs.run import Run
from train.runs.run_folder import RunFolder
from train.runs.side_by_side import PlannedRun, outcomes

# Twice the largest standard deviation, 3.5, of the difference of two methods over three seeds, with the same
# labelled scans (docs/results-demo.md).
NOISE = 7.0
"""A difference of mIoU in %, absent classes dropped, from one seed is noise if it is smaller than this."""


def noise_of(metrics: Metrics) -> float:
    """NOISE under the official rule of `metrics`: absent classes that count 0 make differences smaller."""
    present = sum(share is not None for share in metrics.iou) / len(metrics.iou)
    return NOISE if metrics.absent == "dropped" else NOISE * present


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
    """The mIoU of each run, by the official rule first, and how the last run differs from the others."""
    *controls, last = runs
    run = runs[last]
    splits = run.splits
    rules = (run.absent, other_rule(run.absent))
    lines = [line for rule in rules for line in _table(runs, splits, rule, rule == run.absent)]
    partly = (run.evaluated(split).partly_labelled for split in splits)
    lines += (*filter(None, partly), *run.left_out)
    labelled = counted(len(run.split.labelled), "scan")
    made = (
        f"points alone at test time, {labelled} labelled ({run.split.protocol}, "
        f"{run.config.ratio:g} %, seed {run.config.seed}), {run.config.schedule.steps} steps, one seed"
    )
    if not splits:
        return "\n".join((*lines, made))
    noise = noise_of(run.evaluated(splits[-1]))
    of = {title: _miou(one, splits[-1], run.absent) for title, one in runs.items()}
    lines += [_verdict(splits[-1], last, of[last], title, of[title], noise) for title in controls]
    return "\n".join((*lines, f"{made}: differences under about {noise:.0f} are noise"))


def _table(runs: Mapping[str, Run], splits: Sequence[str], rule: AbsentClasses, official: bool) -> list[str]:
    """A line per run: its mIoU in percent on each split."""
    width = max(map(len, ("mIoU in %", *runs)))
    remark = f"  {rule_in_words(rule)}{': the official rule' if official else ''}"
    head = f"{'mIoU in %':<{width}}" + "".join(f"{split:>8}" for split in splits) + remark
    rows = (
        f"{title:<{width}}" + "".join(f"{_miou(run, split, rule):8.1f}" for split in splits)
        for title, run in runs.items()
    )
    return [head, *rows] if splits else []


def _verdict(split: str, title: str, miou: float, other: str, other_miou: float, noise: float) -> str:
    gap = miou - other_miou
    better = "better" if gap > 0 else "worse"
    remark = ", which is within the noise" if abs(gap) < noise else ""
    return f"on {split}, {title} is {abs(gap):.1f} {better} than {other}{remark}"


def _miou(run: Run, split: str, rule: AbsentClasses) -> float:
    """mIoU in percent."""
    return 100 * mean_iou(run.evaluated(split).matrix, rule)
