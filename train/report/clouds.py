"""Point clouds to turn with the mouse: what viewer.html and viewer.js need of scans and predictions.

Letters: N points of a scan, S points that are shown.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lass3d_core.labels import IGNORE, LabelSpace
from lass3d_core.paper.metrics import accuracy, confusion_matrix
from lass3d_core.records import NONE, PairedScan
from train.report.results import css_colour

_MOST_POINTS = 40_000
_LEVELS = 65535
_NO_TEXT, _IMAGE_ONLY, _FIRST_ENTITY = 0, 1, 2


@dataclass(frozen=True)
class Panel:
    """One of the pictures. show: what viewer.js draws in it."""

    show: str
    title: str
    meaning: str


PREDICTION = Panel("prediction", "Prediction", "what the network says, from the points alone")
TRUTH = Panel("truth", "Truth", "the labels; points without one are left out")
ERROR = Panel("error", "Error", "wrong points stand out, right ones recede")
TEXT = Panel("text", "Text", "points whose pixel has an entity, only an image, or neither")
LIKENESS = Panel("likeness", "Likeness", "red: most similar to the text")


@dataclass(frozen=True)
class PicturedScan:
    """A scan with its prediction.

    prediction (N,) uint8: train ids.
    likeness (N,) uint8: how like a query's text each point is, for the panel of that name.
    """

    scan: PairedScan
    prediction: np.ndarray
    likeness: np.ndarray | None = None


@dataclass(frozen=True)
class ShownScan:
    """A scan as viewer.html writes it.

    points: N. shown: S.
    right: share of right points in [0,1]; None if no point has a label.
    payload: JSON for viewer.js.
    """

    scan_id: str
    points: int
    shown: int
    right: float | None
    payload: dict[str, Any]


@dataclass(frozen=True)
class ShownClass:
    """A class of the legend. colour: CSS."""

    label: int
    name: str
    colour: str


@dataclass(frozen=True)
class CloudViewer:
    """What viewer.html shows. classes: JSON for viewer.js."""

    scans: tuple[ShownScan, ...]
    panels: tuple[Panel, ...]
    legend: tuple[ShownClass, ...]
    classes: dict[str, Any]


def cloud_viewer(
    scans: Sequence[PicturedScan],
    space: LabelSpace,
    panels: tuple[Panel, ...] = (PREDICTION, TRUTH, ERROR, TEXT),
    seed: int = 0,
) -> CloudViewer:
    """Pack `scans` for the page. seed: for the choice of points in scans that are too large to show whole."""
    rng = np.random.default_rng(seed)
    shown = tuple(_shown(pictured, space, rng) for pictured in scans)
    occur = {label for pictured in scans for label in np.unique(pictured.prediction).tolist()}
    for pictured in scans:
        if pictured.scan.labels is not None:
            occur |= set(np.unique(pictured.scan.labels).tolist())
    legend = (
        ShownClass(label, space.names[label], css_colour(space, label)) for label in sorted(occur - {IGNORE})
    )
    classes = {"names": space.names, "colours": space.colours, "ignore": IGNORE}
    return CloudViewer(shown, panels, tuple(legend), classes)


@dataclass(frozen=True)
class QuantisedPoints:
    """Points on a grid; a coordinate is origin + step * level.

    levels (S,3): uint16. origin, step: metres.
    """

    levels: np.ndarray
    origin: tuple[float, float, float]
    step: float

    def points(self) -> np.ndarray:
        """The coordinates (S,3) float64 in metres; each is off by at most step / 2."""
        return np.asarray(self.origin) + self.step * self.levels.astype(np.float64)


def quantise(points: np.ndarray) -> QuantisedPoints:
    """Put points (S,3), metres, on the finest cubic grid of 2^16 levels that spans them.

    The step is 1.5 mm if they span 100 m.
    """
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    step = float((high - low).max()) / _LEVELS or 1.0 / _LEVELS
    levels = np.rint((points - low) / step).clip(0, _LEVELS).astype(np.uint16)
    return QuantisedPoints(levels, (float(low[0]), float(low[1]), float(low[2])), step)


def _shown(pictured: PicturedScan, space: LabelSpace, rng: np.random.Generator) -> ShownScan:
    scan, count = pictured.scan, len(pictured.scan.points)
    chosen = np.arange(count)
    if count > _MOST_POINTS:
        chosen = np.sort(rng.choice(count, _MOST_POINTS, replace=False))
    quantised = quantise(scan.points[chosen])
    truth = np.full(count, IGNORE, np.uint8) if scan.labels is None else scan.labels
    payload = {
        "origin": quantised.origin,
        "step": quantised.step,
        "xyz": _base64(quantised.levels),
        "prediction": _base64(pictured.prediction[chosen].astype(np.uint8)),
        "truth": _base64(truth[chosen]),
        "text": _base64(_text_of_points(scan)[chosen]),
        "phrases": scan.pairs.phrases,
    }
    if pictured.likeness is not None:
        payload["likeness"] = _base64(pictured.likeness[chosen])
    right = accuracy(confusion_matrix(truth, pictured.prediction, len(space.names)))
    return ShownScan(scan.scan_id, count, len(chosen), None if np.isnan(right) else right, payload)


def _text_of_points(scan: PairedScan) -> np.ndarray:
    """(N,) uint16: 0 no text, 1 an image but no entity, 2 + s the entity of slot s."""
    has_image = (scan.pairs.image != NONE).any(axis=1)
    text = np.where(has_image, _IMAGE_ONLY, _NO_TEXT)
    entity = scan.pairs.entity.astype(np.int64)
    return np.where(entity != NONE, entity + _FIRST_ENTITY, text).astype(np.uint16)


def _base64(array: np.ndarray) -> str:
    """Little-endian bytes of `array` as base64, which is how browsers' typed arrays read them."""
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode("ascii")
