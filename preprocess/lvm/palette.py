"""`palette`: a stand-in for KOSMOS-2 and GroundedSAM that needs no weights and reads nothing but pixels.

It smooths an image, gives each pixel the nearest colour that it knows, in sun or in shade, and takes
connected regions of one name for things. What it knows of the world is the table below: words and the colours
that things of that name usually have. Like a real model it errs: noise, shade and like colours mislead it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from lass3d_core.masks import encode
from lass3d_core.records import Entity, GroundedPhrase, ImageCaption
from preprocess.phrases import normalise

Rgb = tuple[float, float, float]

_NO_CONCEPT = -1
_SPECK_REACH_PX = 2.0


@dataclass(frozen=True)
class Concept:
    """A kind of thing. words: its synonyms, no head word shared with another kind; colours: RGB in [0,1]."""

    words: tuple[str, ...]
    colours: tuple[Rgb, ...]


CONCEPTS = (
    Concept(("road", "street", "asphalt"), ((0.33, 0.33, 0.34),)),
    Concept(("parking lot", "parking bay", "paved yard"), ((0.46, 0.38, 0.48),)),
    Concept(("sidewalk", "pavement", "footpath"), ((0.62, 0.60, 0.60),)),
    Concept(("grass", "lawn", "meadow"), ((0.46, 0.52, 0.22), (0.54, 0.50, 0.26))),
    Concept(
        ("house", "building", "facade"),
        ((0.80, 0.66, 0.46), (0.64, 0.34, 0.25), (0.86, 0.80, 0.66), (0.66, 0.55, 0.50)),
    ),
    Concept(("fence", "railing", "palings"), ((0.51, 0.34, 0.19), (0.30, 0.43, 0.38))),
    Concept(("trees", "bushes", "foliage"), ((0.20, 0.42, 0.15), (0.31, 0.50, 0.17))),
    Concept(("trunk", "bare stem", "bark"), ((0.32, 0.26, 0.22),)),
    Concept(("pole", "lamp post", "mast"), ((0.42, 0.54, 0.63), (0.28, 0.37, 0.46))),
    Concept(("traffic sign", "signboard", "warning plate"), ((0.10, 0.25, 0.72), (0.90, 0.76, 0.10))),
    Concept(
        ("car", "sedan", "parked vehicle"),
        ((0.70, 0.10, 0.10), (0.10, 0.17, 0.42), (0.88, 0.89, 0.92), (0.11, 0.11, 0.12)),
    ),
    Concept(("truck", "lorry", "delivery van"), ((0.91, 0.46, 0.10), (0.18, 0.55, 0.56))),
    Concept(("person", "pedestrian", "walker"), ((0.55, 0.15, 0.50), (0.88, 0.36, 0.55))),
    Concept(("cyclist", "bike rider", "biker"), ((0.56, 0.94, 0.36),)),
    Concept(("sky", "clouds", "heaven"), ((0.62, 0.78, 0.93), (0.72, 0.90, 1.00))),
)


@dataclass(frozen=True)
class PaletteEntityParams:
    """How the palette sees, and the seed of its choice among several phrases for one kind of thing.

    min_pixels: smaller regions are not seen. max_distance: RGB distance beyond which a colour is unknown.
    shading: brightness levels at which each colour is known. smoothing_px: side of the averaging window.
    """

    min_pixels: int = 10
    max_distance: float = 0.20
    shading: tuple[float, ...] = (0.66, 0.82, 0.95)
    smoothing_px: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.min_pixels < 1 or self.smoothing_px < 1:
            raise ValueError("min_pixels and smoothing_px must be at least 1")
        if self.max_distance <= 0:
            raise ValueError(f"max_distance must be positive, got {self.max_distance}")
        if not self.shading or min(self.shading) <= 0:
            raise ValueError("shading needs at least one level, all of them positive")


@dataclass(frozen=True)
class PaletteCaptionParams(PaletteEntityParams):
    """max_phrases: how many kinds of things a caption names, the largest first; the rest as above."""

    max_phrases: int = 14

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_phrases < 1:
            raise ValueError(f"max_phrases must be at least 1, got {self.max_phrases}")


@dataclass(frozen=True)
class Region:
    """A connected part of an image in the colours of one concept. mask (H,W) bool; score in [0,1]."""

    concept: int
    mask: np.ndarray
    score: float

    @property
    def box_xyxy(self) -> tuple[float, float, float, float]:
        """The box around the mask, in pixels, its right and lower edges outside."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


class PaletteCaptioner:
    """An `ImageCaptioner` that names the kinds of things whose colours it finds."""

    def __init__(self, params: PaletteCaptionParams) -> None:
        self.params = params

    def caption(self, images: Sequence[np.ndarray]) -> list[ImageCaption]:
        """One caption per image (H,W,3) uint8 RGB; each kind of thing is grounded in its largest region."""
        return [self._caption_one(image) for image in images]

    def _caption_one(self, image: np.ndarray) -> ImageCaption:
        rng = _rng_of(image, self.params.seed)
        total = np.zeros(len(CONCEPTS), np.int64)
        largest: dict[int, Region] = {}
        for region in sorted(regions(image, self.params), key=lambda region: int(region.mask.sum())):
            total[region.concept] += region.mask.sum()
            largest[region.concept] = region
        by_size = [concept for concept in np.argsort(-total, kind="stable") if total[concept]]
        phrases = tuple(
            GroundedPhrase(str(rng.choice(CONCEPTS[concept].words)), largest[concept].box_xyxy)
            for concept in by_size[: self.params.max_phrases]
        )
        text = _sentence([grounded.phrase for grounded in phrases])
        return ImageCaption(text, phrases, raw=text)


class PaletteDetector:
    """An `EntityDetector` that finds things by the colours that it knows for their names."""

    def __init__(self, params: PaletteEntityParams) -> None:
        self.params = params

    def detect(
        self, images: Sequence[np.ndarray], vocabularies: Sequence[Sequence[str]]
    ) -> list[list[Entity]]:
        """Per image, one entity per region whose kind the vocabulary names; unknown words find none."""
        return [self._detect_one(*pair) for pair in zip(images, vocabularies, strict=True)]

    def _detect_one(self, image: np.ndarray, vocabulary: Sequence[str]) -> list[Entity]:
        names: dict[int, list[str]] = {}
        for phrase in vocabulary:
            concept = concept_of(phrase)
            if concept is not None:
                names.setdefault(concept, []).append(phrase)
        rng = _rng_of(image, self.params.seed)
        chosen = {concept: str(rng.choice(phrases)) for concept, phrases in sorted(names.items())}
        return [
            Entity(chosen[region.concept], region.score, region.box_xyxy, encode(region.mask))
            for region in regions(image, self.params)
            if region.concept in chosen
        ]


def concept_of(phrase: str) -> int | None:
    """Index of the concept that `phrase` names: by the whole phrase, else by its head word, else None."""
    words = (normalise(phrase) or "").split()
    for name in (" ".join(words), words[-1] if words else ""):
        for index, concept in enumerate(CONCEPTS):
            if name in concept.words or name in {word.split()[-1] for word in concept.words}:
                return index
    return None


def regions(image: np.ndarray, params: PaletteEntityParams) -> list[Region]:
    """The regions of `image` (H,W,3) uint8 RGB by concept; scores fall with the mean colour distance."""
    concept, distance = _nearest_concept(image, params)
    concept = _without_specks(
        np.where(distance <= params.max_distance, concept, _NO_CONCEPT), params.min_pixels
    )
    found = []
    for index in range(len(CONCEPTS)):
        labelled, sizes = _components(concept == index)
        means = ndimage.mean(distance, labelled, np.arange(len(sizes)))
        for part in np.flatnonzero(sizes[1:] >= params.min_pixels) + 1:
            score = float(np.clip(1.0 - means[part] / params.max_distance, 0.0, 1.0))
            found.append(Region(index, labelled == part, round(score, 4)))
    return found


def _nearest_concept(image: np.ndarray, params: PaletteEntityParams) -> tuple[np.ndarray, np.ndarray]:
    """Per pixel (H,W) the concept with the nearest colour at any shading level, and the RGB distance."""
    pixels = ndimage.uniform_filter(image / 255.0, size=(params.smoothing_px, params.smoothing_px, 1))
    known = np.array([colour for concept in CONCEPTS for colour in concept.colours])
    owner = np.array([index for index, concept in enumerate(CONCEPTS) for _ in concept.colours])
    shades = np.concatenate([known * level for level in params.shading])
    distance, nearest = cKDTree(shades).query(pixels)
    return owner[nearest % len(owner)], distance


def _without_specks(concept: np.ndarray, min_pixels: int) -> np.ndarray:
    """`concept` (H,W) where small regions and unknown pixels take the name of what lies within two pixels."""
    large = np.zeros(concept.shape, bool)
    for index in range(len(CONCEPTS)):
        labelled, sizes = _components(concept == index)
        large |= (sizes >= min_pixels)[labelled] & (labelled > 0)
    if not large.any():
        return concept
    gap, (row, column) = ndimage.distance_transform_edt(~large, return_indices=True)
    return np.where(gap <= _SPECK_REACH_PX, concept[row, column], concept)


def _components(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The connected parts of `mask` (H,W), numbered from 1, and the pixels of each number (0: outside)."""
    labelled, count = ndimage.label(mask)
    return labelled, np.bincount(labelled.ravel(), minlength=count + 1)


def _sentence(phrases: Sequence[str]) -> str:
    *most, last = [_with_article(phrase) for phrase in phrases] or ["nothing in particular"]
    return (
        f"An outdoor scene with {', '.join(most)} and {last}." if most else f"An outdoor scene with {last}."
    )


def _with_article(phrase: str) -> str:
    if phrase in {"trees", "bushes", "foliage", "grass", "asphalt", "bark", "palings", "clouds"}:
        return phrase
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _rng_of(image: np.ndarray, seed: int) -> np.random.Generator:
    """Randomness that follows from the pixels, so that neither order nor batch matters."""
    digest = hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=8).digest()
    return np.random.default_rng((seed, int.from_bytes(digest, "little")))
