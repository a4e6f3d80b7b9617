"""The sections beside the results: how it learnt, points and their text, what ran, how to do it again."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Sequence

import numpy as np

from lass3d_core.labels import LabelSpace
from lass3d_core.settings import to_json
from train.presets import PRESETS
from train.report.curves import Curve, chart, legend
from train.report.markup import Markup, element, join
from train.report.pairing import TextCoverage
from train.report.runs import RunRecord, flat, settings, worded
from train.report.tables import Setting, headline, plain_table, settings_table
from train.report.words import percent, plural

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
    "query": "Which text is the point's own (extension)",
    "reliable_share": "Share of reliable points, Eq. (4)",
    "agreement": "Student and teacher agree",
    "text_share": "Share of points with text",
    "rate": "Learning rate",
}
"""Columns of the log that are always shown, and their titles; the others wait behind a click."""

_MOST_PHRASES = 12


def section(name: str, title: str, *children: str | None) -> Markup:
    """A section of the page with its heading; `name` is its anchor."""
    return element("section", element("h2", title, id=name), *children, aria_labelledby=name)


def learning(runs: Sequence[RunRecord]) -> Markup:
    """The log as small charts, the page's own run over its siblings."""
    own = runs[0].log
    if not own:
        return element("p", "This run has no log.", class_="absent")
    shown = [
        chart(title, _curves(runs, name), smooth=name != "rate")
        for name, title in _CHARTS.items()
        if name in own
    ]
    further = [name for name in own if name not in _CHARTS and name not in ("step", "val_miou")]
    hidden = [chart(name, _curves(runs, name), smooth=True) for name in further]
    return join(
        element(
            "p", "Every term as it enters the objective, its weight included. Heavy lines are moving means."
        ),
        legend([run.title for run in runs]) if len(runs) > 1 else None,
        element(
            "div",
            chart("Validation mIoU", _curves(runs, "val_miou", 100.0), unit="per cent"),
            *shown,
            class_="charts",
        ),
        _folded(
            plural(len(hidden), "more column", "more columns") + " of the log",
            element("div", *hidden, class_="charts"),
        ),
    )


def coverage(measured: TextCoverage, space: LabelSpace, uses_text: bool) -> Markup:
    """How many points have text, and how well it fits the labels of the labelled scans."""
    points = max(measured.points, 1)
    figures = [
        ("points with an image", percent(measured.with_image / points), "per cent: a camera sees them"),
        (
            "points with an entity",
            percent(measured.with_entity / points),
            "per cent: their pixel lies in a named mask",
        ),
        ("phrases", str(len(measured.phrases)), "different names that points carry"),
    ]
    if not math.isnan(measured.agreement):
        figures.append(
            ("text fits the label", percent(measured.agreement), "per cent of labelled points with an entity")
        )
    rows = [
        (use.phrase, percent(use.points / points), _main_class(use.classes, space), percent(use.agreement))
        for use in measured.phrases[:_MOST_PHRASES]
    ]
    return join(
        element("p", _coverage_words(measured, uses_text)),
        headline(figures),
        element("h3", "The most frequent phrases") if rows else None,
        plain_table(("phrase", "% of all points", "mostly on", "% of it there"), rows) if rows else None,
    )


def setup(run: RunRecord) -> Markup:
    """Configuration, environment and identity; what differs from the paper's preset stands out."""
    entries = settings(run.config)
    changed = [entry for entry in entries if entry.default is not None]
    same = [entry for entry in entries if entry.default is None]
    identity = {"pairs": run.saved.pairs[:16], "run": run.saved.digest[:16]}
    peak = run.log.get("peak_memory_gib", np.empty(0))
    memory = {"peak memory": f"{peak.max():.2f} GiB"} if len(peak) else {}
    ran = flat(run.environment) | memory | identity
    surroundings = [Setting(key, worded(value)) for key, value in ran.items()]
    changes = settings_table(changed) if changed else element("p", "Nowhere.")
    return join(
        element("p", run.config.note) if run.config.note else None,
        element(
            "div",
            element("div", element("h3", "Where it differs from the paper's preset"), changes),
            element(
                "div",
                element("h3", "Environment and fingerprints"),
                settings_table(surroundings),
            ),
            class_="columns",
        ),
        _folded(f"The {plural(len(same), 'setting')} of the paper's preset", settings_table(same)),
        _folded(
            f"The {plural(len(run.split.labelled), 'labelled scan')}",
            element("p", element("code", ", ".join(run.split.labelled))),
        ),
    )


def reproduce(run: RunRecord) -> Markup:
    """The commands that make this run and this page again."""
    return join(
        element("p", "In the project's folder; what is fresh is not made again."),
        element("pre", "\n".join(commands(run))),
        element("p", "The run lies in ", element("code", str(run.folder)), "."),
    )


def commands(run: RunRecord) -> list[str]:
    """Shell commands, one a line, that lead to `run`."""
    config = run.config
    data = f"DATASET={shlex.quote(config.dataset)}"
    choice = [
        f"METHOD={config.method_name}",
        f"PRESET={config.preset}",
        f"RATIO={config.ratio:g}",
        f"SEED={config.seed}",
    ]
    tag = run.folder.name.removeprefix(config.name).removeprefix("-")
    if tag:
        choice.append(f"TAG={shlex.quote(tag)}")
    if changed := _beyond_preset(run):
        choice.append(f"SET={shlex.quote(' '.join(changed))}")
    return [
        f"make captions pairs {data}",
        *[f"make {what} {data} {' '.join(choice)}" for what in ("train", "eval", "report")],
    ]


def _beyond_preset(run: RunRecord) -> list[str]:
    """The settings that the preset alone does not give, as --set takes them."""
    config = run.config
    if config.preset not in PRESETS:
        return []
    preset = PRESETS[config.preset](config.dataset, config.method_name, config.ratio, config.seed)
    usual, own = flat(to_json(preset)), flat(to_json(config))
    return [
        f"{key}={value if isinstance(value, str) else json.dumps(value, separators=(',', ':'))}"
        for key, value in own.items()
        if usual.get(key) != value
    ]


def _curves(runs: Sequence[RunRecord], column: str, scale: float = 1.0) -> list[Curve]:
    return [
        Curve(run.title, run.log["step"], run.log[column] * scale, rank)
        for rank, run in enumerate(runs)
        if column in run.log
    ]


def _coverage_words(measured: TextCoverage, uses_text: bool) -> str:
    words = f"Counted over {plural(measured.scans, 'training scan')}. "
    if measured.labelled_scans:
        words += (
            f"Labels were read in the {plural(measured.labelled_scans, 'labelled scan')} alone. A phrase "
            "has no class of its own, so the class that it lies on most often stands in: how well the text "
            "fits is an upper bound."
        )
    else:
        words += "None of them is labelled, so the text cannot be held against labels."
    return words if uses_text else f"{words} This run used none of the text."


def _main_class(classes: np.ndarray, space: LabelSpace) -> str:
    return space.names[int(classes.argmax())] if classes.sum() else "–"


def _folded(summary: str, content: Markup) -> Markup:
    return element("details", element("summary", summary), content)
