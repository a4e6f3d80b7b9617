"""What the viewer shows of clouds: points, classes, confidences, words and images, packed for the page.

Letters: N points of a cloud, S points that are shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lass3d_core.labels import IGNORE
from lass3d_core.viewer.packing import packed, packed_levels, quantise
from lass3d_core.viewer.photos import Photo, best_photos, photo_payloads, seen_bits

MOST_POINTS = 240_000
"""Points of a page, shared among its clouds."""

MOST_OF_A_CLOUD = 120_000
"""More points than that turn slowly on a plain canvas."""

NO_WORDS, CAPTION_ALONE, FIRST_PHRASE = 0, 1, 2


class Mode(NamedTuple):
    """A way to colour the points. keys: what its colours mean, by the names of viewer.css."""

    name: str  # by which colouring.js knows it
    title: str
    meaning: str
    keys: tuple[tuple[str, str], ...] = ()


LIKENESS = Mode(
    "likeness", "Likeness", "to the text", (("quiet", "the median or less"), ("loud", "most similar"))
)
PREDICTION = Mode("prediction", "Prediction", "what the network says, from the points alone")
TRUTH = Mode("truth", "Truth", "the labels; points without one are left out")
ERROR = Mode("error", "Error", "where the two differ", (("quiet", "right"), ("loud", "wrong")))
CONFIDENCE = Mode(
    "confidence", "Confidence", "of the prediction", (("quiet", "sure"), ("loud", "50 % or less"))
)
WORDS = Mode(
    "words",
    "Text",
    "on the points",
    (("strong", "a phrase"), ("middle", "an image's caption"), ("quiet", "none")),
)


@dataclass(frozen=True)
class PointWords:
    """The text on each point.

    text (N,) uint16: NO_WORDS, CAPTION_ALONE, or FIRST_PHRASE + an index into phrases.
    views (N,) uint8, share (N,) uint8: how many images voted, and the phrase's share of the votes in 255ths;
        None if nobody voted.
    """

    text: np.ndarray
    phrases: tuple[str, ...]
    views: np.ndarray | None = None
    share: np.ndarray | None = None


@dataclass(frozen=True)
class Likeness:
    """How like a query's text each point is: level (N,) uint8, from 0 at `low` or less to 255 at `high`."""

    level: np.ndarray
    low: float
    high: float


@dataclass(frozen=True)
class PicturedCloud:
    """A cloud with what is known of its points.

    points (N,3): metres. has_sensor: whether they are seen from a sensor at the origin.
    prediction (N,) uint8: train ids. confidence (N,) float32 in [0,1]: their probabilities.
    truth (N,) uint8: train ids, IGNORE where there is no label; None if there are none at all.
    """

    name: str
    points: np.ndarray
    prediction: np.ndarray
    confidence: np.ndarray | None = None
    truth: np.ndarray | None = None
    words: PointWords | None = None
    likeness: Likeness | None = None
    photos: tuple[Photo, ...] = ()
    has_sensor: bool = True

    @property
    def right(self) -> float | None:
        """The share of right points among those with a label, in [0,1]; None if there are none."""
        if self.truth is None:
            return None
        judged = self.truth != IGNORE
        return float((self.truth == self.prediction)[judged].mean()) if judged.any() else None


@dataclass(frozen=True)
class ShownCloud:
    """A cloud as viewer.html writes it."""

    name: str
    points: int  # N
    shown: int  # S
    right: float | None
    payload: dict[str, Any]  # JSON for viewer.js


@dataclass(frozen=True)
class Viewer:
    """What viewer.html shows. modes: the first is shown first."""

    clouds: tuple[ShownCloud, ...]
    modes: tuple[Mode, ...]
    legend: tuple[tuple[int, str, str], ...]  # train id, name and CSS colour of each class that occurs
    classes: dict[str, Any]  # JSON for viewer.js
    has_photos: bool


def viewer_of(
    clouds: Sequence[PicturedCloud],
    names: Sequence[str],
    colours: Sequence[tuple[int, int, int]],
    seed: int = 0,
) -> Viewer:
    """Pack `clouds`, at least one. names, colours: of the classes, by train id.

    seed: for the choice of points in clouds that are too large to show whole.
    """
    rng = np.random.default_rng(seed)
    most = min(MOST_OF_A_CLOUD, MOST_POINTS // len(clouds))
    shown = tuple(_shown(cloud, most, rng) for cloud in clouds)
    occur = {label for cloud in clouds for label in _labels(cloud)}
    legend = tuple(
        (label, names[label], "rgb({} {} {})".format(*colours[label])) for label in sorted(occur - {IGNORE})
    )
    classes = {"names": list(names), "colours": [list(colour) for colour in colours], "ignore": IGNORE}
    return Viewer(shown, tuple(_modes(clouds)), legend, classes, any(cloud.photos for cloud in clouds))


def _labels(cloud: PicturedCloud) -> Iterator[int]:
    yield from np.unique(cloud.prediction).tolist()
    if cloud.truth is not None:
        yield from np.unique(cloud.truth).tolist()


def _modes(clouds: Sequence[PicturedCloud]) -> Iterator[Mode]:
    """Those for which a cloud has the figures."""
    if any(cloud.likeness for cloud in clouds):
        yield LIKENESS
    yield PREDICTION
    if any(cloud.truth is not None for cloud in clouds):
        yield from (TRUTH, ERROR)
    if any(cloud.confidence is not None for cloud in clouds):
        yield CONFIDENCE
    if any(cloud.words for cloud in clouds):
        yield WORDS


def _shown(cloud: PicturedCloud, most: int, rng: np.random.Generator) -> ShownCloud:
    count = len(cloud.points)
    chosen = np.arange(count) if count <= most else np.sort(rng.choice(count, most, replace=False))
    levels, origin, step = quantise(cloud.points[chosen])
    photos = best_photos(cloud.photos)
    payload = {
        "name": cloud.name,
        "count": len(chosen),
        "origin": origin,
        "step": step,
        "sensor": cloud.has_sensor,
        "xyz": packed_levels(levels),
        "phrases": cloud.words.phrases if cloud.words else (),
        "photos": photo_payloads(photos),
        **{name: packed(array[chosen]) for name, array in _columns(cloud)},
    }
    if photos:
        payload["seen"] = packed(seen_bits(photos, chosen))
    if cloud.likeness:
        payload["similarity"] = [cloud.likeness.low, cloud.likeness.high]
    return ShownCloud(cloud.name, count, len(chosen), cloud.right, payload)


def _columns(cloud: PicturedCloud) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays (N,) of a cloud that the page gets, by name."""
    yield "prediction", cloud.prediction.astype(np.uint8)
    if cloud.truth is not None:
        yield "truth", cloud.truth.astype(np.uint8)
    if cloud.confidence is not None:
        # 255ths, of which one is less than a confidence can be told apart by.
        yield "confidence", np.rint(255 * cloud.confidence.clip(0, 1)).astype(np.uint8)
    if cloud.words:
        yield "text", cloud.words.text.astype(np.uint16)
        if cloud.words.views is not None and cloud.words.share is not None:
            yield "views", cloud.words.views
            yield "share", cloud.words.share
    if cloud.likeness:
        yield "likeness", cloud.likeness.level
