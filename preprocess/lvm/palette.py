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


@dataclass(frozen=True)
class Concept:
    """A kind of thing. words: its synonyms, no head word shared with another kind; colours: RGB in [0,1]."""

    words: tuple[str, ...]
    colours: tuple[Rgb, ...]


CONCEPTS = (
    Concept(("road", "street", "asphalt"), ((0.33, 0.33, 0.34),)),
    Concept(("parking lot", "parking bay", "paved yard"), ((0.45, 0.38, 0.46),)),
    Concept(("sidewalk", "pavement", "footpath"), ((0.62, 0.60, 0.60),)),
    Concept(("grass", "lawn", "meadow"), ((0.46, 0.52, 0.22), (0.54, 0.50, 0.26))),
    Concept(
        ("house", "building", "facade"),
        ((0.80, 0.66, 0.46), (0.64, 0.34, 0.25), (0.86, 0.80, 0.66), (0.66, 0.55, 0.50)),
    ),
    Concept(("fence", "railing", "palings"), ((0.51, 0.34, 0.19), (0.30, 0.43, 0.38))),
    Concept(("trees", "bushes", "foliage"), ((0.20, 0.42, 0.15), (0.31, 0.50, 0.17))),
    Concept(("trunk", "bare stem", "bark"), ((0.33, 0.23, 0.15),)),
    Concept(("pole", "lamp post", "mast"), ((0.42, 0.54, 0.63), (0.28, 0.37, 0.46))),
    Concept(("traffic sign", "signboard", "warning plate"), ((0.10, 0.25, 0.72), (0.90, 0.76, 0.10))),
    Concept(
        ("car", "sedan", "parked vehicle"),
        ((0.70, 0.10, 0.10), (0.10, 0.17, 0.42), (0.88, 0.89, 0.92), (0.11, 0.11, 0.12)),
    ),
    Concept(("truck", "lorry", "delivery van"), ((0.91, 0.46, 0.10), (0.18, 0.55, 0.56))),
    Concept(("person", "pedestrian", "walker"), ((0.55, 0.15, 0.50), (0.88, 0.36, 0.55))),
    Concept(("cyclist", "bike rider", "biker"), ((0.68, 0.88, 0.14),)),
    Concept(("sky", "clouds", "heaven"), ((0.62, 0.78, 0.93), (0.72, 0.90, 1.00))),
)


@dataclass(frozen=True)
class PaletteCaptionParams:
    """min_pixels: smaller regions are not seen. max_distance: RGB distance beyond which a colour is unknown.

    max_phrases: how many kinds of things a caption names, the largest first. shading: brightness levels at
    which each colour is known. smoothing_px: side of the averaging window. seed: which synonyms are drawn.
    """

    min_pixels: int = 10
    max_distance: float = 0.20
    max_phrases: int = 14
    shading: tuple[float, ...] = (0.66, 0.82, 0.95)
    smoothing_px: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        _check(self.min_pixels, self.max_distance, self.shading, self.smoothing_px)
        if self.max_phrases < 1:
            raise ValueError(f"max_phrases must be at least 1, got {self.max_phrases}")


@dataclass(frozen=True)
class PaletteEntityParams:
    """See PaletteCaptionParams. seed: which phrase is taken where the vocabulary has several for one kind."""

    min_pixels: int = 10
    max_distance: float = 0.20
    shading: tuple[float, ...] = (0.66, 0.82, 0.95)
    smoothing_px: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        _check(self.min_pixels, self.max_distance, self.shading, self.smoothing_px)


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
        params = self.params
        found = regions(image, params.min_pixels, params.max_distance, params.shading, params.smoothing_px)
        rng = _rng_of(image, params.seed)
        total = np.zeros(len(CONCEPTS), np.int64)
        largest: dict[int, Region] = {}
        for region in sorted(found, key=lambda region: int(region.mask.sum())):
            total[region.concept] += region.mask.sum()
            largest[region.concept] = region
        named = [concept for concept in np.argsort(-total, kind="stable") if total[concept]][
            : params.max_phrases
        ]
        phrases = tuple(
            GroundedPhrase(str(rng.choice(CONCEPTS[concept].words)), largest[concept].box_xyxy)
            for concept in named
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
        params = self.params
        names: dict[int, list[str]] = {}
        for phrase in vocabulary:
            concept = concept_of(phrase)
            if concept is not None:
                names.setdefault(concept, []).append(phrase)
        rng = _rng_of(image, params.seed)
        chosen = {concept: str(rng.choice(phrases)) for concept, phrases in sorted(names.items())}
        found = regions(image, params.min_pixels, params.max_distance, params.shading, params.smoothing_px)
        return [
            Entity(chosen[region.concept], region.score, region.box_xyxy, encode(region.mask))
            for region in found
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


def regions(
    image: np.ndarray, min_pixels: int, max_distance: float, shading: Sequence[float], smoothing_px: int
) -> list[Region]:
    """The regions of `image` (H,W,3) uint8 RGB by concept; scores fall with the mean colour distance."""
    concept, distance = _nearest_concept(image, shading, smoothing_px)
    concept = np.where(distance <= max_distance, concept, -1)
    found = []
    for index in range(len(CONCEPTS)):
        labelled, count = ndimage.label(concept == index)
        sizes = np.bincount(labelled.ravel(), minlength=count + 1)
        means = ndimage.mean(distance, labelled, np.arange(count + 1))
        for part in np.flatnonzero(sizes[1:] >= min_pixels) + 1:
            score = float(np.clip(1.0 - means[part] / max_distance, 0.0, 1.0))
            found.append(Region(index, labelled == part, round(score, 4)))
    return found


def _nearest_concept(
    image: np.ndarray, shading: Sequence[float], smoothing_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """Per pixel (H,W) the concept with the nearest colour at any shading level, and the RGB distance."""
    pixels = ndimage.uniform_filter(image / 255.0, size=(smoothing_px, smoothing_px, 1))
    known = np.array([colour for concept in CONCEPTS for colour in concept.colours])
    owner = np.array([index for index, concept in enumerate(CONCEPTS) for _ in concept.colours])
    shades = np.concatenate([known * level for level in shading])
    distance, nearest = cKDTree(shades).query(pixels)
    return owner[nearest % len(owner)], distance


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


def _check(min_pixels: int, max_distance: float, shading: tuple[float, ...], smoothing_px: int) -> None:
    if min_pixels < 1 or smoothing_px < 1:
        raise ValueError("min_pixels and smoothing_px must be at least 1")
    if max_distance <= 0:
        raise ValueError(f"max_distance must be positive, got {max_distance}")
    if not shading or min(shading) <= 0:
        raise ValueError("shading needs at least one positive level")
