"""`segmenter`: a semantic segmentation network of the user's as captioner and as detector.

It needs no GPU and no large package. Its vocabulary is closed: it knows the classes that it was trained on,
by the labels that its training set gave to every pixel. Touching things of one class are one region.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lass3d_core.files.masks import encode_parts
from lass3d_core.records import Entity, GroundedPhrase, ImageCaption
from preprocess.lvm.colour_regions import Region, Regions
from preprocess.lvm.params import SegmenterParams
from preprocess.lvm.segmenter_input import ImageInput
from preprocess.lvm.segmenter_labels import LABEL_SETS
from preprocess.lvm.segmenter_network import open_network
from preprocess.lvm.segmenter_output import UNKNOWN, Classified, ClassOutput
from preprocess.lvm.segmenter_regions import regions
from preprocess.lvm.segmenter_tiles import classified
from preprocess.lvm.segmenter_words import ClassWords

# Decision: a caption names at most so many things, the largest: two tokens each fit into CLIP's window of 77.
MAX_NAMED = 30
_NOTHING = "nothing in particular"


class Segmenter:
    """A network with its words.

    Raises BackendUnavailable (no file, no package, an output that does not fit the labels), CorruptArtifact
    (no network), DataError (an input that is no image).
    """

    def __init__(self, params: SegmenterParams) -> None:
        self.params = params
        self.words = ClassWords(_listed(params))
        self._network = open_network(Path(params.weights).expanduser())
        self._input = ImageInput(self._network.input, params)
        self._output = ClassOutput(self._network.output, len(self.words), params)
        self._classify_tile(np.full((*self._input.size_hw, 3), 128, np.uint8))  # what does not fit shows now

    def classify(self, image: np.ndarray) -> Classified:
        """The class of each pixel of an image (H,W,3) uint8 RGB."""
        return classified(image, self.params.tiles, self._classify_tile)

    def _classify_tile(self, image: np.ndarray) -> Classified:
        placed = self._input(image)
        answer = self._network.run(placed.tensor)
        return self._output(answer, placed.box, self._input.size_hw, (image.shape[0], image.shape[1]))

    def regions(self, image: np.ndarray, wanted: Sequence[bool]) -> Regions:
        """The regions of an image (H,W,3) uint8 RGB. wanted (C): the classes that are looked for."""
        seen = self.classify(image)
        is_wanted = np.array([*wanted, False])  # the last is UNKNOWN
        classes = np.where(is_wanted[seen.classes], seen.classes, np.int16(UNKNOWN))
        return regions(seen._replace(classes=classes), self.params.min_pixels)


class SegmenterCaptioner:
    """An `ImageCaptioner` that names what the network sees, in the order of the area."""

    def __init__(self, params: SegmenterParams) -> None:
        self._segmenter = Segmenter(params)

    def caption(self, images: Sequence[np.ndarray]) -> list[ImageCaption]:
        """A caption per image (H,W,3) uint8 RGB; each word is grounded in the largest region of its class."""
        return [self._caption_one(image) for image in images]

    def _caption_one(self, image: np.ndarray) -> ImageCaption:
        names = self._segmenter.words.names
        total: dict[str, int] = {}
        largest: dict[str, Region] = {}
        found = self._segmenter.regions(image, [name is not None for name in names]).found
        for region in sorted(found, key=lambda region: region.area):
            name = names[region.concept]
            assert name is not None
            total[name] = total.get(name, 0) + region.area
            largest[name] = region
        named = sorted(total, key=lambda name: -total[name])[:MAX_NAMED]
        text = _sentence(named)
        return ImageCaption(
            text, tuple(GroundedPhrase(one, largest[one].box_xyxy) for one in named), raw=text
        )


class SegmenterDetector:
    """An `EntityDetector` that finds the regions of the classes that a vocabulary names."""

    def __init__(self, params: SegmenterParams) -> None:
        self._segmenter = Segmenter(params)

    def detect(
        self, images: Sequence[np.ndarray], vocabularies: Sequence[Sequence[str]]
    ) -> list[list[Entity]]:
        """Per image, an entity per region whose class the vocabulary names, by the phrase that names it."""
        return [self._detect_one(*pair) for pair in zip(images, vocabularies, strict=True)]

    def _detect_one(self, image: np.ndarray, vocabulary: Sequence[str]) -> list[Entity]:
        phrase_of = self._segmenter.words.phrase_of_each(vocabulary)
        if not phrase_of:
            return []
        wanted = [index in phrase_of for index in range(len(self._segmenter.words))]
        seen = self._segmenter.regions(image, wanted)
        masks = encode_parts(seen.labels, [region.area for region in seen.found])
        return [
            Entity(phrase_of[region.concept], region.score, region.box_xyxy, mask)
            for region, mask in zip(seen.found, masks)
        ]


def _listed(params: SegmenterParams) -> list[tuple[str, ...]]:
    """The words of each class."""
    labels = LABEL_SETS[params.labels] if isinstance(params.labels, str) else params.labels
    return [(one,) if isinstance(one, str) else tuple(one) for one in labels]


def _sentence(names: Sequence[str]) -> str:
    """The names as a list in words. Decision: no numbers, since touching things of a class are one region."""
    *most, last = names or [_NOTHING]
    return f"{', '.join(most)} and {last}" if most else last
