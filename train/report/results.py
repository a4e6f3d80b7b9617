"""What the run reached: the head of the page, the figures, the comparison in words, the tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lass3d_core.labels import LabelSpace
from lass3d_core.paper.metrics import mean_iou
from train.demo import NOISE
from train.evaluate import Metrics
from train.report.markup import Markup, element
from train.report.runs import SPLITS, RunRecord
from train.report.tables import RunResult, confusion_map, headline, per_class_table, shares_of_truth
from train.report.words import SPLIT_NAMES, capitalised, percent, plural

_WORST = 8


def header(run: RunRecord) -> Markup:
    """What ran and what came of it, in one glance."""
    config = run.config
    facts = {
        "data set": config.dataset,
        "labelled": f"{config.ratio:g} %, {plural(len(run.split.labelled), 'scan')}",
        "seed": str(config.seed),
        "preset": config.preset,
        "steps": str(config.schedule.steps),
        "metric": "point-level mIoU",
    }
    named = [element("div", element("dt", name), element("dd", fact)) for name, fact in facts.items()]
    return element(
        "header",
        element("p", "LASS3D, report of a run", class_="eyebrow"),
        element("h1", f"{capitalised(run.title)} on {config.dataset}, {config.ratio:g} % labelled"),
        element("p", _summary(run), class_="lede"),
        element("dl", *named, class_="facts"),
    )


def results(runs: Sequence[RunRecord], space: LabelSpace) -> Markup:
    """Headline, comparison, IoU per class, confusion. runs: the page's own first, then its siblings."""
    split = reported_split(runs[0])
    if split is None:
        return element("p", "No split was evaluated; run “make eval”.", class_="absent")
    found = [RunResult(run.title, run.metrics[split].matrix) for run in runs if split in run.metrics]
    metrics = runs[0].metrics[split]
    return element(
        "div",
        headline(_figures(runs[0], split)),
        element("p", verdict(found, split), class_="note") if len(found) > 1 else None,
        element("p", protocol(metrics)),
        element("h3", f"IoU per class on the {SPLIT_NAMES[split]} scans, per cent"),
        per_class_table(found, space),
        element(
            "div",
            element(
                "div",
                element("h3", "Truth in rows, prediction in columns"),
                confusion_map(metrics.matrix, space),
            ),
            element("div", element("h3", "Most often mistaken"), _mistakes(metrics.matrix, space)),
            class_="columns",
        ),
    )


def reported_split(run: RunRecord) -> str | None:
    """The split whose figures head the page: test where it was evaluated, else validation."""
    return next((split for split in SPLITS if split in run.metrics), None)


def verdict(found: Sequence[RunResult], split: str) -> str:
    """How the first run, the page's own, compares with each of the others, whichever is better."""
    own, *others = [(result.name, 100 * mean_iou(result.matrix, "dropped")) for result in found]
    sentences = [_compared(own, other) for other in others]
    return (
        f"On the {SPLIT_NAMES[split]} scans, with the same labelled scans: {'; '.join(sentences)}. "
        "Each is one run with one seed, and another choice of labelled scans moves such figures: "
        f"differences under about {NOISE:.0f} points are noise."
    )


def protocol(metrics: Metrics) -> str:
    """What the figures were taken under."""
    augmented = "with" if metrics.test_time_augmentation else "no"
    return (
        f"One confusion matrix over all {plural(metrics.points, 'point')} of "
        f"{plural(metrics.scans, 'scan')} whose label counts; {metrics.level.removesuffix('s')} level, "
        f"{metrics.checkpoint} checkpoint after {plural(metrics.steps, 'step')}, {augmented} test-time "
        f"augmentation. {metrics.labelled_scans} of {plural(metrics.training_scans, 'training scan')} had "
        f"labels ({metrics.protocol} choice, {metrics.ratio:g} %, seed {metrics.seed})."
    )


def _summary(run: RunRecord) -> str:
    split = reported_split(run)
    if split is None:
        return "This run was not evaluated yet."
    labelled, every = len(run.split.labelled), len(run.split.labelled) + len(run.split.unlabelled)
    reached = percent(run.metrics[split].miou_absent_dropped)
    return (
        f"A network that reads points alone, trained with labels on {labelled} of {every} scans, "
        f"reaches {reached}\u202f% mean IoU on the {SPLIT_NAMES[split]} scans."
    )


def _compared(own: tuple[str, float], other: tuple[str, float]) -> str:
    gap = own[1] - other[1]
    noise = ", which is within the noise" if abs(gap) < NOISE else ""
    better = "better" if gap > 0 else "worse"
    return (
        f"{own[0]} ({own[1]:.1f}) is {abs(gap):.1f} points {better} than {other[0]} ({other[1]:.1f}){noise}"
    )


def _figures(run: RunRecord, split: str) -> list[tuple[str, str, str]]:
    """What, how much, how measured: the mean over the classes that occur, then the official one."""
    metrics = run.metrics[split]
    absent = sum(share is None for share in metrics.iou)
    over = "classes that occur" if absent else "classes"
    how = f"per cent, over the {len(metrics.iou) - absent} {over}"
    figures = [(f"mean IoU, {SPLIT_NAMES[split]}", percent(metrics.miou_absent_dropped), how)]
    if absent and metrics.absent == "zero":
        how = f"per cent, with {plural(absent, 'class', 'classes')} that occur nowhere as 0"
        figures.append(("mean IoU, official form", percent(metrics.miou_official), how))
    figures.append(("points right", percent(metrics.accuracy), "per cent of the points whose label counts"))
    if split == "test" and "val" in run.metrics:
        validation = percent(run.metrics["val"].miou_absent_dropped)
        figures.append(
            ("mean IoU, validation", validation, "per cent, on the split that choices are made on")
        )
    return figures


def _mistakes(matrix: np.ndarray, space: LabelSpace) -> Markup:
    """The largest shares off the diagonal, in words."""
    wrong = shares_of_truth(matrix) * (1 - np.eye(len(matrix)))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_WORST]
    pairs = [divmod(int(index), len(matrix)) for index in order]
    items = [
        element(
            "li",
            element("span", f"{100 * wrong[row, column]:.0f} %", class_="number"),
            f" of {space.names[row]} is taken for {space.names[column]}",
        )
        for row, column in pairs
        if wrong[row, column] >= 0.005
    ]
    return (
        element("ul", *items, class_="mistakes")
        if items
        else element("p", "Nothing is mistaken.", class_="absent")
    )
