"""Point clouds to turn with the mouse: what viewer.html and viewer.js need of scans and predictions.

Letters: N points of a scan, S points that are shown.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lass3d_core.labels import IGNORE, LabelSpace
from lass3d_core.paper.metrics import accuracy, confusion_matrix
from lass3d_core.records import NONE, PairedScan
from train.report.results import css_colour

_MOST_POINTS = 40_000
_LEVELS = 65535
_NO_TEXT, _IMAGE_ONLY, _FIRST_ENTITY = 0, 1, 2


class Panel(NamedTuple):
    """One of the pictures."""

    show: str  # what viewer.js draws in it
    title: str
    meaning: str


PREDICTION = Panel("prediction", "Prediction", "what the network says, from the points alone")
TRUTH = Panel("truth", "Truth", "the labels; points without one are left out")
ERROR = Panel("error", "Error", "wrong points stand out, right ones recede")
TEXT = Panel("text", "Text", "points with an entity, with only an image, or with neither")
LIKENESS = Panel("likeness", "Likeness", "red: most similar to the text")


@dataclass(frozen=True)
class PicturedScan:
    """A scan with its prediction."""

    scan: PairedScan
    prediction: np.ndarray  # (N,) uint8 train ids
    likeness: np.ndarray | None = None  # (N,) uint8: how like a query's text each point is


@dataclass(frozen=True)
class ShownScan:
    """A scan as viewer.html writes it."""

    scan_id: str
    points: int  # N
    shown: int  # S
    right: float | None  # share of right points in [0,1]; None if no point has a label
    payload: dict[str, Any]  # JSON for viewer.js


@dataclass(frozen=True)
class CloudViewer:
    """What viewer.html shows."""

    scans: list[ShownScan]
    panels: tuple[Panel, ...]
    legend: list[tuple[int, str, str]]  # train id, name and CSS colour of each class
    classes: dict[str, Any]  # JSON for viewer.js


def cloud_viewer(
    scans: Sequence[PicturedScan],
    space: LabelSpace,
    panels: tuple[Panel, ...] = (PREDICTION, TRUTH, ERROR, TEXT),
    seed: int = 0,
) -> CloudViewer:
    """Pack `scans` for the page. seed: for the choice of points in scans that are too large to show whole."""
    rng = np.random.default_rng(seed)
    shown = [_shown(pictured, space, rng) for pictured in scans]
    occur = {label for pictured in scans for label in np.unique(pictured.prediction).tolist()}
    for pictured in scans:
        if pictured.scan.labels is not None:
            occur |= set(np.unique(pictured.scan.labels).tolist())
    legend = [(label, space.names[label], css_colour(space, label)) for label in sorted(occur - {IGNORE})]
    classes = {"names": space.names, "colours": space.colours, "ignore": IGNORE}
    return CloudViewer(shown, panels, legend, classes)


def quantise(points: np.ndarray) -> tuple[np.ndarray, tuple[float, ...], float]:
    """Put points (S,3), metres, on the finest cubic grid of 2^16 levels that spans them.

    Returns levels (S,3) uint16, origin and step in metres. A coordinate is origin + step * level, off by at
    most step / 2. The step is 1.5 mm if the points span 100 m.
    """
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    step = float((high - low).max()) / _LEVELS or 1.0 / _LEVELS
    levels = np.rint((points - low) / step).clip(0, _LEVELS).astype(np.uint16)
    return levels, tuple(low.tolist()), step


def _shown(pictured: PicturedScan, space: LabelSpace, rng: np.random.Generator) -> ShownScan:
    scan, count = pictured.scan, len(pictured.scan.points)
    chosen = np.arange(count)
    if count > _MOST_POINTS:
        chosen = np.sort(rng.choice(count, _MOST_POINTS, replace=False))
    levels, origin, step = quantise(scan.points[chosen])
    truth = np.full(count, IGNORE, np.uint8) if scan.labels is None else scan.labels
    payload = {
        "origin": origin,
        "step": step,
        "xyz": _base64(levels),
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
