"""The sections of the page, each from plain records to markup."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lass3d_core.labels import LabelSpace
from lass3d_core.metrics import mean_iou
from lass3d_core.typed import plain
from train.evaluate import Metrics
from train.presets import PRESETS
from train.report.curves import Curve, chart, legend
from train.report.markup import Markup, element
from train.report.pairing import Coverage
from train.report.runs import SPLITS, RunRecord, flat, settings
from train.report.tables import (
    RunResult,
    confusion_map,
    headline,
    per_class_table,
    percent,
    plain_table,
    settings_table,
)

_CHARTS = {
    "loss": "Whole objective, Eq. (9)",
    "ce_l": "Labelled cross-entropy, Eq. (7)",
    "ce_u": "Pseudo-label cross-entropy, Eq. (8)",
    "kl": "Distillation into the adapter, Eq. (3)",
    "pe": "Negative learning, Eq. (6)",
    "align": "Alignment with the text",
    "consistency": "Consistency with the teacher",
    "kl_student": "Distillation into the student (extension)",
    "ce_text_free": "Labelled cross-entropy without text (extension)",
    "reliable_share": "Share of reliable points, Eq. (4)",
    "agreement": "Student and teacher agree",
    "text_share": "Share of points with text",
    "rate": "Learning rate",
}
_SPLIT_NAMES = {"test": "test", "val": "validation"}


def section(name: str, title: str, *children: str | None) -> Markup:
    """A section of the page with its heading and an anchor."""
    return element("section", element("h2", title, id=name), *children, aria_labelledby=name)


def header(run: RunRecord) -> Markup:
    """What ran, in one glance."""
    config = run.config
    labelled, rest = len(run.split.labelled), len(run.split.unlabelled)
    split = reported_split(run)
    sentence = "This run was not evaluated yet."
    if split is not None:
        sentence = (
            f"A network that reads points alone, trained with labels on {labelled} of {labelled + rest} scans, "
            f"reaches {percent(run.metrics[split].miou_official)} % mean IoU on the {_SPLIT_NAMES[split]} scans."
        )
    facts = {
        "data set": config.dataset,
        "labelled": f"{config.ratio:g} %, {_count(labelled, 'scan')}",
        "seed": str(config.seed),
        "preset": config.preset,
        "steps": str(config.schedule.steps),
        "metric": "point-level mIoU",
    }
    return element(
        "header",
        element("p", "LASS3D, report of a run", class_="eyebrow"),
        element("h1", f"{_capital(run.title)} on {config.dataset}, {config.ratio:g} % labelled"),
        element("p", sentence, class_="lede"),
        element(
            "dl",
            *[element("div", element("dt", k), element("dd", v)) for k, v in facts.items()],
            class_="facts",
        ),
    )


def reported_split(run: RunRecord) -> str | None:
    """The split whose figures head the page: test where it was evaluated, else validation."""
    return next((split for split in SPLITS if split in run.metrics), None)


def results(runs: Sequence[RunRecord], space: LabelSpace) -> Markup:
    """Headline, comparison in words, IoU per class, confusion. runs: the page's own first, then its siblings."""
    split = reported_split(runs[0])
    if split is None:
        return section(
            "results", "Results", element("p", "No split was evaluated; run “make eval”.", class_="absent")
        )
    found = [RunResult(run.title, run.metrics[split].matrix) for run in runs if split in run.metrics]
    return section(
        "results",
        "Results",
        headline(_figures(runs[0], split)),
        element("p", verdict(found, split), class_="note") if len(found) > 1 else None,
        element("p", protocol(runs[0].metrics[split])),
        element("h3", f"IoU per class, {_SPLIT_NAMES[split]} scans, per cent"),
        per_class_table(found, space),
        element("h3", "What is taken for what"),
        element("p", "Rows are the true class, columns the predicted one, in per cent of the row."),
        confusion_map(found[0].matrix, space),
    )


def protocol(metrics: Metrics) -> str:
    """What the figures were taken under."""
    augmented = "with" if metrics.test_time_augmentation else "no"
    return (
        f"One confusion matrix over the {metrics.points:,} points of {_count(metrics.scans, 'scan')} whose label counts, "
        f"{metrics.level[:-1]} level, {metrics.checkpoint} checkpoint after {metrics.steps} steps, {augmented} test-time "
        f"augmentation. {metrics.labelled_scans} of {metrics.training_scans} training scans had labels "
        f"({metrics.protocol} choice, {metrics.ratio:g} %, seed {metrics.seed})."
    )


def _figures(run: RunRecord, split: str) -> list[tuple[str, str, str]]:
    metrics = run.metrics[split]
    absent = sum(share is None for share in metrics.iou)
    figures = [
        (
            f"mean IoU, {_SPLIT_NAMES[split]}",
            _percent(metrics.miou_official),
            "per cent, mean over all classes",
        )
    ]
    if absent:
        figures[0] = (*figures[0][:2], "per cent; a class that occurs nowhere counts 0")
        how = f"per cent, without {_count(absent, 'class', 'classes')} neither true nor predicted"
        figures.append(("over the classes present", _percent(metrics.miou_absent_dropped), how))
    figures.append(("points right", _percent(metrics.accuracy), "per cent of the points whose label counts"))
    if split == "test" and "val" in run.metrics:
        figures.append(
            (
                "mean IoU, validation",
                _percent(run.metrics["val"].miou_official),
                "per cent, on the split for choosing",
            )
        )
    return figures


def verdict(found: Sequence[RunResult], split: str) -> str:
    """Which run is better, in words, whichever it is. The first is the page's own."""
    ranked = sorted(found, key=lambda result: -mean_iou(result.matrix))
    listed = ", ".join(f"{result.name} {percent(mean_iou(result.matrix))}" for result in ranked)
    best, second = (mean_iou(result.matrix) for result in ranked[:2])
    gap = percent(best - second)
    winner = f"{_capital(ranked[0].name)} is better than {ranked[1].name} by {gap} points"
    return (
        f"On the {_SPLIT_NAMES[split]} scans, with the same labelled scans and the same number of steps: {listed}. "
        f"{winner if gap != '0.0' else 'The first two are equal'}. Each is one run with one seed; another choice of "
        "labelled scans moves such figures by some points, so a small difference is no evidence."
    )


def curves(runs: Sequence[RunRecord]) -> Markup:
    """The log as small charts, this run over its siblings."""
    if not runs[0].log:
        return section("curves", "How it learnt", element("p", "This run has no log.", class_="absent"))
    own = runs[0].log
    further = [name for name in own if name not in _CHARTS and name != "step" and not name.startswith("val_")]
    return section(
        "curves",
        "How it learnt",
        element("p", "Every term as it enters the objective, weight included. Heavy lines are moving means."),
        legend([run.title for run in runs]) if len(runs) > 1 else None,
        element(
            "div",
            chart("Validation mIoU", _curves(runs, "val_miou", 100.0), unit="per cent"),
            *[
                chart(title, _curves(runs, name), smooth=name != "rate")
                for name, title in _CHARTS.items()
                if name in own
            ],
            class_="charts",
        ),
        element(
            "details",
            element(
                "summary", f"{_count(len(further), 'further quantity', 'further quantities')} of the log"
            ),
            element(
                "div", *[chart(name, _curves(runs, name), smooth=True) for name in further], class_="charts"
            ),
        )
        if further
        else None,
    )


def coverage(measured: Coverage, space: LabelSpace, uses_text: bool) -> Markup:
    """How many points have text, and how well it fits the labels of the labelled scans."""
    points = max(measured.points, 1)
    shares = [
        (
            "points with an image",
            percent(measured.with_image / points),
            "per cent, seen by a camera and not occluded",
        ),
        (
            "points with an entity",
            percent(measured.with_entity / points),
            "per cent, the pixel lies in a named mask",
        ),
        ("phrases", str(len(measured.phrases)), "distinct names that points carry"),
    ]
    if not math.isnan(measured.agreement):
        how = "per cent of their labelled points are of the class that the phrase mostly names"
        shares.append(("phrases that fit the label", percent(measured.agreement), how))
    rows = [
        (
            use.phrase,
            f"{100 * use.points / points:.1f}",
            _main_class(use.classes, space),
            percent(use.agreement),
        )
        for use in measured.phrases[:12]
    ]
    return section(
        "pairing",
        "Points and their text",
        element("p", _coverage_words(measured, uses_text)),
        headline(shares),
        element("h3", "The most frequent phrases"),
        plain_table(("Phrase", "% of points", "mostly on", "% of it there"), rows)
        if rows
        else element("p", "No point carries a phrase.", class_="absent"),
    )


def setup(run: RunRecord) -> Markup:
    """Configuration, environment and identity; what differs from the paper stands out."""
    entries = settings(run.config)
    changed = [entry for entry in entries if entry.default is not None]
    same = [entry for entry in entries if entry.default is None]
    environment = flat(run.environment)
    return section(
        "setup",
        "What ran, and with what",
        element("p", run.config.note) if run.config.note else None,
        element(
            "div",
            element("div", element("h3", "Where it differs from the paper's preset"), settings_table(changed))
            if changed
            else element("p", "Every setting is that of the paper's preset."),
            element(
                "div",
                element("h3", "Environment"),
                plain_settings({**environment, "data": run.saved.pairs[:16], "run": run.saved.digest[:16]}),
            ),
            class_="columns",
        ),
        element(
            "details",
            element("summary", f"The {len(same)} settings that are the paper's"),
            settings_table(same),
        ),
        element(
            "details",
            element("summary", f"The {_count(len(run.split.labelled), 'labelled scan')}"),
            element("p", element("code", ", ".join(run.split.labelled))),
        ),
    )


def plain_settings(values: Mapping[str, Any]) -> Markup:
    """Keys and values without a comparison."""
    rows = [
        element("tr", element("th", key, scope="row"), element("td", str(value)))
        for key, value in values.items()
    ]
    return element("table", element("tbody", *rows), class_="settings")


def reproduce(run: RunRecord) -> Markup:
    """The commands that make this run and this page again."""
    return section(
        "again",
        "Do it again",
        element("p", "From the project's folder; stages that are fresh are not run again."),
        element("pre", "\n".join(commands(run))),
        element("p", "The run's folder is ", element("code", str(run.folder)), "."),
    )


def commands(run: RunRecord) -> list[str]:
    """Shell commands, one a line, that lead to `run`."""
    config = run.config
    data = f"DATASET={shlex.quote(config.dataset)}"
    choice = f"METHOD={config.method_name} PRESET={config.preset} RATIO={config.ratio:g} SEED={config.seed}"
    tag = run.folder.name.removeprefix(config.name).lstrip("-")
    choice += f" TAG={shlex.quote(tag)}" if tag else ""
    preset = PRESETS.get(config.preset)
    if preset is not None:
        base = flat(plain(preset(config.dataset, config.method_name, config.ratio, config.seed)))
        changed = [f"{key}={value}" for key, value in flat(plain(config)).items() if base.get(key) != value]
        choice += f" SET={shlex.quote(' '.join(changed))}" if changed else ""
    return [
        f"make captions pairs {data}",
        *[f"make {what} {data} {choice}" for what in ("train", "eval", "report")],
    ]


def _curves(runs: Sequence[RunRecord], column: str, scale: float = 1.0) -> list[Curve]:
    return [
        Curve(run.title, run.log["step"], run.log[column] * scale, rank)
        for rank, run in enumerate(runs)
        if column in run.log
    ]


def _main_class(classes: np.ndarray, space: LabelSpace) -> str:
    return space.names[int(classes.argmax())] if classes.sum() else "–"


def _coverage_words(measured: Coverage, uses_text: bool) -> str:
    used = "" if uses_text else " This run used none of it."
    agreement = (
        f"Labels are read in the {_count(measured.labelled_scans, 'labelled scan')} alone. A phrase has no class of its "
        "own, so the class that it names most often stands in; the agreement is therefore an upper bound."
        if measured.labelled_scans
        else "None of these scans is labelled, so the text cannot be held against labels."
    )
    return f"Counted over {_count(measured.scans, 'training scan')}. {agreement}{used}"


def _percent(share: float | None) -> str:
    return percent(math.nan if share is None else share)


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
