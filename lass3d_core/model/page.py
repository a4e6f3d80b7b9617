"""The page of a prediction: what the model saw in each cloud. One HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

import jinja2
import numpy as np

from lass3d_core.model.card import ModelCard
from lass3d_core.model.pictures import as_data_url, picture
from lass3d_core.viewer.clouds import PicturedCloud, viewer_of
from lass3d_core.viewer.html import viewer_html, viewer_style

MOST_VIEWED = 8
"""Clouds that can be turned. The next ones have pictures."""

MOST_PICTURES = 24
"""Clouds that are shown at all; the table has all of them."""


@dataclass(frozen=True)
class ClassShare:
    """A class that occurs in a cloud: its name, CSS colour, share of the points, and mean confidence."""

    name: str
    colour: str
    share: float
    confidence: float


@dataclass(frozen=True)
class SeenCloud:
    """A cloud on the page. notes: scalings and warnings.

    pictured: what the viewer shows; None beyond MOST_VIEWED. picture: the data URL of those that follow.
    """

    name: str
    points: int
    confidence: float
    classes: tuple[ClassShare, ...]
    notes: tuple[str, ...]
    pictured: PicturedCloud | None = None
    picture: str | None = None


def seen_cloud(
    card: ModelCard,
    name: str,
    points: np.ndarray,
    labels: np.ndarray,
    confidence: np.ndarray,
    notes: Sequence[str] = (),
    place: int = 0,
) -> SeenCloud:
    """What the page says of one cloud: points (N,3), labels (N,) uint8, confidence (N,) float32.

    place: among the clouds of the page; the first are shown.
    """
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
    seen = SeenCloud(name, len(points), float(confidence.mean()), classes, tuple(notes))
    if place < MOST_VIEWED:
        has_sensor = not card.from_corner
        return replace(seen, pictured=PicturedCloud(name, points, labels, confidence, has_sensor=has_sensor))
    if place < MOST_PICTURES:
        table = np.array(card.colours, np.uint8)
        return replace(seen, picture=as_data_url(picture(points, table[labels])))
    return seen


def page(card: ModelCard, model_name: str, clouds: Sequence[SeenCloud], tta: int) -> str:
    """The whole document of at least one cloud."""
    pictured = [cloud.pictured for cloud in clouds if cloud.pictured]
    viewer = viewer_html(viewer_of(pictured, card.class_names, card.colours))
    values = {"card": card, "model_name": model_name, "clouds": clouds, "tta": tta, "viewer": viewer}
    return _template().render(style=viewer_style(), shown=clouds[:MOST_PICTURES], **values)


@cache
def _template() -> jinja2.Template:
    text = resources.files("lass3d_core.model").joinpath("templates/predictions.html").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = lambda share: "-" if share is None else f"{100 * share:.1f} %"
    environment.filters["grouped"] = lambda number: f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return environment.from_string(text)
