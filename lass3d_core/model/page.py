"""The page of a prediction: what the model saw in each cloud. One HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import jinja2
import numpy as np

from lass3d_core.model.card import ModelCard
from lass3d_core.model.pictures import as_data_url, picture

MOST_PICTURES = 24
"""Pictures of a page; of more clouds it shows the first, and all of them in its table."""


@dataclass(frozen=True)
class ClassShare:
    """A class that occurs in a cloud: its name, CSS colour, share of the points, and mean confidence."""

    name: str
    colour: str
    share: float
    confidence: float


@dataclass(frozen=True)
class SeenCloud:
    """A cloud on the page. picture: a data URL, None beyond MOST_PICTURES. notes: scalings and warnings."""

    name: str
    points: int
    confidence: float
    classes: tuple[ClassShare, ...]
    picture: str | None
    notes: tuple[str, ...]


def seen_cloud(
    card: ModelCard,
    name: str,
    points: np.ndarray,
    labels: np.ndarray,
    confidence: np.ndarray,
    notes: Sequence[str] = (),
    draw: bool = True,
) -> SeenCloud:
    """What the page says of one cloud: points (N,3), labels (N,) uint8, confidence (N,) float32."""
    counts = np.bincount(labels, minlength=card.num_classes)
    sums = np.bincount(labels, confidence, minlength=card.num_classes)
    classes = tuple(
        ClassShare(
            card.class_names[label],
            "rgb({} {} {})".format(*card.colours[label]),
            float(counts[label] / len(labels)),
            float(sums[label] / counts[label]),
        )
        for label in np.argsort(-counts, kind="stable").tolist()
        if counts[label]
    )
    table = np.array(card.colours, np.uint8)
    shown = as_data_url(picture(points, table[labels])) if draw else None
    return SeenCloud(name, len(points), float(confidence.mean()), classes, shown, tuple(notes))


def page(card: ModelCard, model_name: str, clouds: Sequence[SeenCloud], tta: int) -> str:
    """The whole document."""
    return _template().render(card=card, model_name=model_name, clouds=clouds, tta=tta)


@cache
def _template() -> jinja2.Template:
    text = resources.files("lass3d_core.model").joinpath("templates/predictions.html").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = lambda share: "-" if share is None else f"{100 * share:.1f} %"
    environment.filters["grouped"] = lambda number: f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return environment.from_string(text)
