"""Point clouds to turn with the mouse: prediction, truth, error and text side by side, drawn by viewer.js.

Letters: N points of a scan, S points that are shown, C classes.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from lass3d_core.labels import IGNORE, LabelSpace
from lass3d_core.records import NONE, PairedScan
from train.report.markup import Markup, element, json_script
from train.report.words import grouped, percent, plural

_MOST_POINTS = 40_000
_LEVELS = 65535
_NO_TEXT, _IMAGE_ONLY, _FIRST_ENTITY = 0, 1, 2
_PANELS = {
    "prediction": ("Prediction", "what the network says, from the points alone"),
    "truth": ("Truth", "the labels; points that do not count are left out"),
    "error": ("Error", "wrong points stand out, right ones recede"),
    "text": ("Text", "points whose pixel has an entity, only an image, or neither"),
    "likeness": ("Likeness", "the more like the text, the redder"),
}
_FOUR = ("prediction", "truth", "error", "text")


@dataclass(frozen=True)
class PicturedScan:
    """A scan with its prediction: `prediction` (N,) uint8 train ids in the raw order of `scan`.

    likeness (N,) uint8: how like a query's text the points are, for the panel of that name.
    """

    scan: PairedScan
    prediction: np.ndarray
    likeness: np.ndarray | None = None


@dataclass(frozen=True)
class QuantisedPoints:
    """Points on a grid. levels (S,3) uint16; a coordinate is origin + step * level, metres."""

    levels: np.ndarray
    origin: tuple[float, float, float]
    step: float

    def points(self) -> np.ndarray:
        """The coordinates (S,3) float64 in metres; each is off by at most step / 2."""
        return np.asarray(self.origin) + self.step * self.levels.astype(np.float64)


def quantise(points: np.ndarray) -> QuantisedPoints:
    """Points (S,3) in metres on the finest cubic grid of 2^16 levels that spans them (1.5 mm over 100 m)."""
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    step = float((high - low).max()) / _LEVELS or 1.0 / _LEVELS
    levels = np.rint((points - low) / step).clip(0, _LEVELS).astype(np.uint16)
    return QuantisedPoints(levels, (float(low[0]), float(low[1]), float(low[2])), step)


def cloud_viewer(
    scans: Sequence[PicturedScan], space: LabelSpace, seed: int = 0, panels: Sequence[str] = _FOUR
) -> Markup:
    """The viewer of `scans` with its script and its legend. seed: of the choice of points in large scans."""
    rng = np.random.default_rng(seed)
    payloads = [_payload(pictured, rng) for pictured in scans]
    shown = sorted(
        {int(label) for pictured in scans for label in np.unique(_labels_seen(pictured))} - {IGNORE}
    )
    return element(
        "div",
        _picker(scans),
        element("div", *[_panel(name, *_PANELS[name]) for name in panels], class_="panels"),
        element("p", Markup("&nbsp;"), class_="reading", aria_hidden="true"),
        _legend(shown, space),
        json_script(_classes(space), class_="classes"),
        *[json_script(payload, class_="cloud") for payload in payloads],
        element("noscript", element("p", "Turning the point clouds needs JavaScript.", class_="absent")),
        element("script", _script()),
        class_="clouds",
    )


def accuracy(prediction: np.ndarray, truth: np.ndarray | None) -> float | None:
    """Share of right points among those that count, or None where there is no truth."""
    if truth is None or not (judged := truth != IGNORE).any():
        return None
    return float((prediction[judged] == truth[judged]).mean())


def _payload(pictured: PicturedScan, rng: np.random.Generator) -> dict[str, object]:
    scan, count = pictured.scan, len(pictured.scan.points)
    chosen = (
        np.sort(rng.choice(count, _MOST_POINTS, replace=False)) if count > _MOST_POINTS else np.arange(count)
    )
    quantised = quantise(scan.points[chosen])
    truth = scan.labels[chosen] if scan.labels is not None else np.full(len(chosen), IGNORE, np.uint8)
    likeness = {} if pictured.likeness is None else {"likeness": _base64(pictured.likeness[chosen])}
    return likeness | {
        "origin": quantised.origin,
        "step": quantised.step,
        "xyz": _base64(quantised.levels),
        "prediction": _base64(pictured.prediction[chosen].astype(np.uint8)),
        "truth": _base64(truth),
        "text": _base64(_text_of_points(scan)[chosen]),
        "phrases": list(scan.pairs.phrases),
    }


def _text_of_points(scan: PairedScan) -> np.ndarray:
    """(N,) uint16: 0 no text, 1 an image but no entity, 2 + s the entity of slot s."""
    has_image = (scan.pairs.image != NONE).any(axis=1)
    text = np.where(has_image, _IMAGE_ONLY, _NO_TEXT)
    entity = scan.pairs.entity.astype(np.int64)
    return np.where(entity != NONE, entity + _FIRST_ENTITY, text).astype(np.uint16)


def _labels_seen(pictured: PicturedScan) -> np.ndarray:
    truth = pictured.scan.labels
    return pictured.prediction if truth is None else np.concatenate([pictured.prediction, truth])


def _picker(scans: Sequence[PicturedScan]) -> Markup:
    buttons = []
    for index, pictured in enumerate(scans):
        right = accuracy(pictured.prediction, pictured.scan.labels)
        count = len(pictured.scan.points)
        cut = f", {grouped(_MOST_POINTS)} shown" if count > _MOST_POINTS else ""
        buttons.append(
            element(
                "button",
                element("code", pictured.scan.scan_id),
                element("span", f"{percent(right)} % right" if right is not None else "no truth"),
                element("span", f"{plural(count, 'point')}{cut}", class_="quiet"),
                type="button",
                aria_pressed="true" if index == 0 else "false",
            )
        )
    return element("div", *buttons, class_="picker", role="group", aria_label="Scan")


def _panel(show: str, title: str, meaning: str) -> Markup:
    canvas = element(
        "canvas",
        Markup(),
        data_show=show,
        tabindex=0,
        role="img",
        aria_label=f"{title}: {meaning}. Arrow keys turn, plus and minus zoom.",
    )
    return element("figure", canvas, element("figcaption", element("b", title), f" {meaning}"))


def _legend(shown: Sequence[int], space: LabelSpace) -> Markup:
    items = [
        element(
            "li",
            element(
                "button",
                element("span", class_="swatch", style=f"background:{css_colour(space, label)}"),
                space.names[label],
                type="button",
                data_class=label,
                aria_pressed="false",
                title="show this class alone",
            ),
        )
        for label in shown
    ]
    return element("ul", *items, class_="legend classes-legend")


def css_colour(space: LabelSpace, label: int) -> str:
    """The class colour of the label space as CSS."""
    return "rgb({} {} {})".format(*space.colours[label])


def _classes(space: LabelSpace) -> dict[str, object]:
    return {
        "names": list(space.names),
        "colours": [list(colour) for colour in space.colours],
        "ignore": IGNORE,
    }


def _script() -> Markup:
    return Markup(resources.files("train.report").joinpath("viewer.js").read_text(encoding="utf-8"))


def _base64(array: np.ndarray) -> str:
    """Little-endian bytes of `array` as base64, which is how browsers' typed arrays read them."""
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode("ascii")
