"""`palette`: a stand-in for KOSMOS-2 and GroundedSAM that needs no weights.

It sees pixels only, never labels. It smooths an image, finds the nearest known colour for each pixel, in sun
or in shade, and takes connected regions of one concept for things. Its knowledge is a table of words and
colours, see concepts.py. It makes errors, as a real model does, because of noise, shade and similar colours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from lass3d_core.files.masks import encode_parts
from lass3d_core.records import Entity, GroundedPhrase, ImageCaption
from preprocess.lvm.colour_regions import Region, regions
from preprocess.lvm.concepts import WORLDS, Knowledge
from preprocess.lvm.params import PaletteCaptionParams, PaletteEntityParams


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
        for region in sorted(regions(image, self.params).found, key=lambda region: region.area):
            total[region.concept] += region.area
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
        seen = regions(image, self.params)
        masks = encode_parts(seen.labels, [region.area for region in seen.found])
        return [
            Entity(chosen[region.concept], region.score, region.box_xyxy, mask)
            for region, mask in zip(seen.found, masks)
            if region.concept in chosen
        ]


def _sentence(phrases: Sequence[str], known: Knowledge) -> str:
    articles = ["" if one in known.uncounted else "an " if one[0] in "aeiou" else "a " for one in phrases]
    *most, last = [article + one for article, one in zip(articles, phrases)] or ["nothing in particular"]
    things = f"{', '.join(most)} and {last}" if most else last
    return f"{known.setting} with {things}."


def _rng_of(image: np.ndarray, seed: int) -> np.random.Generator:
    """Random numbers that the pixels and `seed` determine, so that neither order nor batch matters."""
    digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).digest()
    return np.random.default_rng((seed, int.from_bytes(digest, "little")))
