"""`palette`: a stand-in for KOSMOS-2 and GroundedSAM that needs no weights.

It sees pixels only, never labels. It smooths an image, finds the nearest known colour for each pixel, in sun
or in shade, and takes connected regions of one concept for things. Its knowledge is a table of words and
colours, see concepts.py. It makes errors, as a real model does, because of noise, shade and similar colours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from lass3d_core.files.masks import encode
from lass3d_core.records import Entity, GroundedPhrase, ImageCaption
from preprocess.lvm.concepts import WORLDS, Concept, Knowledge
from preprocess.lvm.params import PaletteCaptionParams, PaletteEntityParams

_NO_CONCEPT = -1
_SPECK_REACH_PX = 2.0


class Region(NamedTuple):
    """A connected part of an image in the colours of one concept. mask (H,W) bool. score: in [0,1]."""

    concept: int
    mask: np.ndarray
    score: float

    @property
    def box_xyxy(self) -> tuple[float, float, float, float]:
        """The box around the mask, in pixels; the right and the lower edge are outside."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


class PaletteCaptioner:
    """An `ImageCaptioner` that names the concepts whose colours it finds."""

    def __init__(self, params: PaletteCaptionParams) -> None:
        self.params = params
        self._known = WORLDS[params.world]

    def caption(self, images: Sequence[np.ndarray]) -> list[ImageCaption]:
        """A caption per image (H,W,3) uint8 RGB; each concept is grounded in its largest region."""
        return [self._caption_one(image) for image in images]

    def _caption_one(self, image: np.ndarray) -> ImageCaption:
        rng = _rng_of(image, self.params.seed)
        total = np.zeros(len(self._known.concepts), np.int64)
        largest: dict[int, Region] = {}
        for region in sorted(regions(image, self.params), key=lambda region: int(region.mask.sum())):
            total[region.concept] += region.mask.sum()
            largest[region.concept] = region
        by_size = [concept for concept in np.argsort(-total, kind="stable") if total[concept]]
        phrases = tuple(
            GroundedPhrase(str(rng.choice(self._known.concepts[concept].words)), largest[concept].box_xyxy)
            for concept in by_size[: self.params.max_phrases]
        )
        text = _sentence([grounded.phrase for grounded in phrases], self._known)
        return ImageCaption(text, phrases, raw=text)


class PaletteDetector:
    """An `EntityDetector` that finds things by the colours that are known for their names."""

    def __init__(self, params: PaletteEntityParams) -> None:
        self.params = params
        self._known = WORLDS[params.world]

    def detect(
        self, images: Sequence[np.ndarray], vocabularies: Sequence[Sequence[str]]
    ) -> list[list[Entity]]:
        """Per image, an entity per region whose concept the vocabulary names; unknown words find nothing."""
        return [self._detect_one(*pair) for pair in zip(images, vocabularies, strict=True)]

    def _detect_one(self, image: np.ndarray, vocabulary: Sequence[str]) -> list[Entity]:
        names: dict[int, list[str]] = {}
        for phrase in vocabulary:
            concept = self._known.concept_of(phrase)
            if concept is not None:
                names.setdefault(concept, []).append(phrase)
        rng = _rng_of(image, self.params.seed)
        chosen = {concept: str(rng.choice(phrases)) for concept, phrases in sorted(names.items())}
        return [
            Entity(chosen[region.concept], region.score, region.box_xyxy, encode(region.mask))
            for region in regions(image, self.params)
            if region.concept in chosen
        ]


def regions(image: np.ndarray, params: PaletteEntityParams) -> list[Region]:
    """The regions of an image (H,W,3) uint8 RGB by concept. The score falls with the mean colour distance."""
    concepts = WORLDS[params.world].concepts
    concept, distance = _nearest_concept(image, concepts, params)
    concept[distance > params.max_distance] = _NO_CONCEPT
    concept = _without_specks(concept, params.min_pixels)
    found = []
    for index in np.unique(concept[concept != _NO_CONCEPT]):
        labelled, sizes = _components(concept == index)
        parts = np.flatnonzero(sizes[1:] >= params.min_pixels) + 1
        for part, mean in zip(parts, ndimage.mean(distance, labelled, parts)):
            score = float(np.clip(1.0 - mean / params.max_distance, 0.0, 1.0))
            found.append(Region(int(index), labelled == part, round(score, 4)))
    return found


def _nearest_concept(
    image: np.ndarray, concepts: Sequence[Concept], params: PaletteEntityParams
) -> tuple[np.ndarray, np.ndarray]:
    """Per pixel (H,W), the concept with the nearest colour at any shading level, and the RGB distance."""
    pixels = ndimage.uniform_filter(image / 255.0, size=(params.smoothing_px, params.smoothing_px, 1))
    known = np.array([colour for concept in concepts for colour in concept.colours])
    owner = np.array([index for index, concept in enumerate(concepts) for _ in concept.colours])
    shades = np.concatenate([known * level for level in params.shading])
    distance, nearest = cKDTree(shades).query(pixels)
    return owner[nearest % len(owner)], distance


def _without_specks(concept: np.ndarray, min_pixels: int) -> np.ndarray:
    """Fill small regions and unknown pixels of a map of concepts (H,W) from large ones within two pixels."""
    large = np.zeros(concept.shape, bool)
    for index in np.unique(concept[concept != _NO_CONCEPT]):
        labelled, sizes = _components(concept == index)
        large |= (sizes >= min_pixels)[labelled] & (labelled > 0)
    if not large.any():
        return concept
    gap, (row, column) = ndimage.distance_transform_edt(~large, return_indices=True)
    return np.where(gap <= _SPECK_REACH_PX, concept[row, column], concept)


def _components(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The connected parts of `mask` (H,W), numbered from 1, and the number of pixels of each (0: outside)."""
    labelled, count = ndimage.label(mask)
    return labelled, np.bincount(labelled.ravel(), minlength=count + 1)


def _sentence(phrases: Sequence[str], known: Knowledge) -> str:
    articles = ["" if one in known.uncounted else "an " if one[0] in "aeiou" else "a " for one in phrases]
    *most, last = [article + one for article, one in zip(articles, phrases)] or ["nothing in particular"]
    things = f"{', '.join(most)} and {last}" if most else last
    return f"{known.setting} with {things}."


def _rng_of(image: np.ndarray, seed: int) -> np.random.Generator:
    """Random numbers that the pixels and `seed` determine, so that neither order nor batch matters."""
    digest = hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=8).digest()
    return np.random.default_rng((seed, int.from_bytes(digest, "little")))
