"""What the demo's figures are, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lass3d_core.labels import AbsentClasses
from lass3d_core.paper.metrics import mean_iou, other_rule, rule_in_words
from train.demo.noise import noise_of
from train.report.words import counted
from train.runs.run import Run

WHY_LASS3D_LOSES = (
    "LASS3D's student relies on the text, which its teacher, the network that is kept, does not have. In so "
    "few steps the teacher's adapter does not learn to replace it (docs/method.md)."
)


def comparison(runs: Mapping[str, Run]) -> str:
    """The mIoU of each run, by the official rule first, and what the figures mean."""
    run = next(iter(runs.values()))
    rules = (run.absent, other_rule(run.absent))
    lines = [line for rule in rules for line in _table(runs, rule, rule == run.absent)]
    partly = (run.evaluated(split).partly_labelled for split in run.splits)
    lines += (*filter(None, partly), *run.left_out)
    return "\n".join((*lines, made_how(run), *meaning(runs)))


def made_how(run: Run) -> str:
    """What all runs of the demo share, in a line."""
    config, scans = run.config, counted(len(run.split.labelled), "labelled scan")
    how = f"{run.split.protocol}, {config.ratio:g} %, seed {config.seed}"
    return f"{scans} ({how}), {config.schedule.steps} steps, points alone at test time"


def meaning(runs: Mapping[str, Run]) -> list[str]:
    """A sentence for each pair of runs, and what a difference of one seed is worth; none without figures."""
    splits = next(iter(runs.values())).splits
    if not splits:
        return []
    split, miou = splits[-1], mious(runs)
    noise = noise_of(next(iter(runs.values())).evaluated(split))
    said = _in_pairs({title: miou[title][split] for title in runs}, split, noise)
    return [*said, f"One run and one seed each: differences under about {noise:.0f} are noise."]


def _in_pairs(miou: Mapping[str, float], split: str, noise: float) -> list[str]:
    """Each run against those before it, and why the paper's method loses where it does."""
    said, titles = [], list(miou)
    for place, title in enumerate(titles):
        for other in titles[:place]:
            said.append(verdict(split, title, miou[title], other, miou[other], noise))
            if title == "LASS3D" and miou[title] < miou[other]:
                said.append(WHY_LASS3D_LOSES)
    return said


def verdict(split: str, title: str, miou: float, other: str, other_miou: float, noise: float) -> str:
    """How one run differs from another, in a sentence."""
    gap = miou - other_miou
    better = "better" if gap > 0 else "worse"
    remark = ", which is within the noise" if abs(gap) < noise else ""
    return f"On {split}, {title} is {abs(gap):.1f} {better} than {other}{remark}."


def mious(runs: Mapping[str, Run]) -> dict[str, dict[str, float]]:
    """Title -> split -> mIoU in percent by the official rule."""
    return {
        title: {split: _miou(run, split, run.absent) for split in run.splits} for title, run in runs.items()
    }


def _table(runs: Mapping[str, Run], rule: AbsentClasses, official: bool) -> list[str]:
    """A line per run: its mIoU in percent on each split."""
    splits: Sequence[str] = next(iter(runs.values())).splits
    width = max(map(len, ("mIoU in %", *runs)))
    remark = f"  {rule_in_words(rule)}{': the official rule' if official else ''}"
    head = f"{'mIoU in %':<{width}}" + "".join(f"{split:>8}" for split in splits) + remark
    rows = (
        f"{title:<{width}}" + "".join(f"{_miou(run, split, rule):8.1f}" for split in splits)
        for title, run in runs.items()
    )
    return [head, *rows] if splits else []


def _miou(run: Run, split: str, rule: AbsentClasses) -> float:
    """mIoU in percent."""
    return 100 * mean_iou(run.evaluated(split).matrix, rule)
