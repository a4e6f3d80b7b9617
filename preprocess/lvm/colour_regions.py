"""The connected parts of an image in the colours of one thing: what `palette` sees.

They are one image of labels and never a mask each. Beside the image this takes about 20 bytes per pixel,
whatever the image shows: less than 300 MB for twelve megapixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from preprocess.lvm.concepts import WORLDS
from preprocess.lvm.params import PaletteEntityParams

# Decision: an image has at most this many regions, and the largest are kept. A street photograph of one
# megapixel has up to three thousand and keeps them all. Larger ones have tens of thousands of specks, and the
# answers for all images of a shard are in memory together.
MAX_REGIONS = 4096

_NO_CONCEPT = -1
_SPECK_REACH_PX = 2
_STRIP_PIXELS = 1 << 19  # what is done to floating-point colours is done to rows of this many pixels at once


class Region(NamedTuple):
    """A connected part of an image. box_xyxy: pixels, right and lower edge outside. score: in [0,1]."""

    concept: int
    area: int
    box_xyxy: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True)
class Regions:
    """The R regions of an image, concept after concept.

    labels (H,W) int32: 1 + the index of the region of each pixel, 0 for none.
    """

    labels: np.ndarray
    found: tuple[Region, ...]


def regions(image: np.ndarray, params: PaletteEntityParams) -> Regions:
    """The regions of an image (H,W,3) uint8 RGB by concept. The score falls with the mean colour distance."""
    colours, owner = _known_colours(params)
    concept, nearest = _nearest(image, colours, owner, params)
    _fill_specks(concept, params.min_pixels)
    labels, owners, areas = large_parts(concept, params.min_pixels)
    del concept
    distances = np.zeros(len(areas))
    for strip, pixels in _smoothed(image, params.smoothing_px):
        inside = labels[strip] > 0
        distance = np.linalg.norm(pixels[inside] - colours[nearest[strip][inside]], axis=1)
        np.add.at(distances, labels[strip][inside].astype(np.intp), distance)
    scores = np.clip(1.0 - distances[1:] / areas[1:] / params.max_distance, 0.0, 1.0)
    boxes = map(box_of, ndimage.find_objects(labels, max_label=len(scores)))
    found = zip(owners[1:].tolist(), areas[1:].tolist(), boxes, scores.tolist())
    return Regions(labels, tuple(Region(*each[:3], round(each[3], 4)) for each in found))


def _known_colours(params: PaletteEntityParams) -> tuple[np.ndarray, np.ndarray]:
    """The known colours at every shading level, (K,3) in [0,1], and the concept of each, (K,) int8."""
    concepts = WORLDS[params.world].concepts
    known = np.array([colour for concept in concepts for colour in concept.colours])
    owner = [index for index, concept in enumerate(concepts) for _ in concept.colours]
    shades = np.concatenate([known * level for level in params.shading])
    return shades, np.array(owner * len(params.shading), np.int8)


def _nearest(
    image: np.ndarray, colours: np.ndarray, owner: np.ndarray, params: PaletteEntityParams
) -> tuple[np.ndarray, np.ndarray]:
    """Per pixel, the concept (H,W) int8 of the nearest known colour if it is near; and that colour (H,W)."""
    tree = cKDTree(colours)
    concept = np.empty(image.shape[:2], np.int8)
    nearest = np.empty(image.shape[:2], np.min_scalar_type(len(colours)))
    for strip, pixels in _smoothed(image, params.smoothing_px):
        distance, found = tree.query(pixels)
        concept[strip] = np.where(distance > params.max_distance, _NO_CONCEPT, owner[found])
        nearest[strip] = found
    return concept, nearest


def _fill_specks(concept: np.ndarray, min_pixels: int) -> None:
    """Fill small regions and unknown pixels of a map of concepts (H,W) from large ones within two pixels."""
    is_large = np.zeros(concept.shape, bool)
    for _, parts, areas in _parts(concept):
        keeps = areas >= min_pixels
        for strip, _, _ in _strips(concept.shape):
            is_large[strip] |= keeps[parts[strip]]
    for strip, around, inner in _strips(concept.shape, _SPECK_REACH_PX):
        if not is_large[around].any():
            continue
        gap, (row, column) = ndimage.distance_transform_edt(~is_large[around], return_indices=True)
        filled = np.where(gap <= _SPECK_REACH_PX, concept[around][row, column], concept[around])
        concept[strip] = filled[inner]  # large regions keep their concept, and the next strip asks no others


def large_parts(concept: np.ndarray, min_pixels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The parts of at least `min_pixels` pixels of a map of concepts (H,W), the MAX_REGIONS largest of them.

    Returns their labels (H,W) int32, and concept and area of each label, (R+1,), (R+1,). Label 0 is no part.
    """
    labels = np.zeros(concept.shape, np.int32)
    owners, areas = np.array([_NO_CONCEPT]), np.array([0])
    for index, parts, sizes in _parts(concept):
        kept = _largest(sizes, min_pixels)
        label_of = _numbered(kept, len(areas), len(sizes))
        for strip, _, _ in _strips(concept.shape):
            labels[strip] += label_of[parts[strip]]
        owners, areas = np.append(owners, np.full(len(kept), index)), np.append(areas, sizes[kept])
    kept = _largest(areas, 1)
    label_of = _numbered(kept, 1, len(areas))
    for strip, _, _ in _strips(concept.shape):
        labels[strip] = label_of[labels[strip]]
    return labels, owners[np.append(0, kept)], areas[np.append(0, kept)]


def _parts(concept: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Each concept of a map (H,W) with its connected parts, numbered from 1 in (H,W) int32, and their areas.

    Number 0, outside, has the area 0. The next parts are written into the same array.
    """
    parts = np.empty(concept.shape, np.int32)
    for index in range(int(concept.max(initial=_NO_CONCEPT)) + 1):
        inside = concept == index
        count = ndimage.label(inside, output=parts) if inside.any() else 0
        areas = np.zeros(count + 1, np.int64)
        for strip, _, _ in _strips(concept.shape) if count else ():
            areas += np.bincount(parts[strip].ravel(), minlength=count + 1)
        areas[0] = 0
        if count:
            yield index, parts, areas


def _largest(areas: np.ndarray, at_least: int) -> np.ndarray:
    """The indices of the MAX_REGIONS largest areas from `at_least` on, ascending; of equal ones the first."""
    large = np.flatnonzero(areas >= at_least)
    if len(large) > MAX_REGIONS:
        large = np.sort(large[np.argsort(-areas[large], kind="stable")[:MAX_REGIONS]])
    return large


def _numbered(kept: np.ndarray, first: int, count: int) -> np.ndarray:
    """The new number of each of `count` parts, (count,) int32: from `first` on for those kept, else 0."""
    number_of = np.zeros(count, np.int32)
    number_of[kept] = np.arange(first, first + len(kept))
    return number_of


def _smoothed(image: np.ndarray, side: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield strips of rows, and their pixels (h,W,3) in [0,1], each the mean of a window of `side` pixels."""
    for strip, around, inner in _strips(image.shape, side):
        yield strip, ndimage.uniform_filter(image[around] / 255.0, size=(side, side, 1))[inner]


def _strips(shape: Sequence[int], margin: int = 0) -> Iterator[tuple[slice, slice, slice]]:
    """Cut the rows of an image of `shape` (H,W,...) into strips of about _STRIP_PIXELS pixels.

    Yields the rows of each strip, the same with `margin` more on both sides, and the strip within those.
    """
    height, width = shape[:2]
    step = max(1, _STRIP_PIXELS // max(1, width))
    for top in range(0, height, step):
        bottom, above = min(height, top + step), max(0, top - margin)
        yield slice(top, bottom), slice(above, bottom + margin), slice(top - above, bottom - above)


def box_of(rows_columns: tuple[slice, slice]) -> tuple[float, float, float, float]:
    """The box (x1, y1, x2, y2), in pixels, of a slice of rows and one of columns."""
    rows, columns = rows_columns
    return float(columns.start), float(rows.start), float(columns.stop), float(rows.stop)
