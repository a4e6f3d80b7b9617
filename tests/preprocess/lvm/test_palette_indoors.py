"""What the palette makes of the simulated rooms: its confusion, not only its mean."""

from __future__ import annotations

import numpy as np
import pytest

from lass3d_core.files.masks import decode
from lass3d_core.records import ImageCaption
from preprocess.lvm.concepts import INDOOR
from preprocess.lvm.palette import (
    PaletteCaptioner,
    PaletteCaptionParams,
    PaletteDetector,
    PaletteEntityParams,
)
from preprocess.simulation.room.materials import MATERIALS
from preprocess.simulation.room.sensors import COLOUR_HW, COLOUR_K, camera_image, seen_from, walk
from preprocess.simulation.room.world import build_room

NAMES = [material.name for material in MATERIALS]
WORD_OF = {
    "tiles": "floor",
    "books": "bookshelf",
    "picture": "painting",
    "floor mat": "rug",
    "shower curtain": "shower screen",
    "otherfurniture": "stool",
}
CONCEPT_OF = [INDOOR.concept_of(WORD_OF.get(name, name)) for name in NAMES]
UNCLASSED = {"ceiling", "pillow", "floor mat", "television"}


@pytest.fixture(scope="module")
def seen() -> tuple[np.ndarray, list[ImageCaption]]:
    """Pixels by (material, concept of the entity that owns them; the last column: none), and the captions."""
    counts = np.zeros((len(NAMES), len(INDOOR.concepts) + 1), np.int64)
    captioner = PaletteCaptioner(PaletteCaptionParams(world="indoor"))
    detector = PaletteDetector(PaletteEntityParams(world="indoor"))
    captions = []
    for seed in range(24):
        rng = np.random.default_rng((7, seed))
        room = build_room(rng)
        for pose in walk(rng, room.plan, room.world_from_room, 2):
            surface = seen_from(room, pose, COLOUR_K, COLOUR_HW)
            image = camera_image(surface, rng)
            (caption,) = captioner.caption([image])
            (entities,) = detector.detect([image], [[grounded.phrase for grounded in caption.phrases]])
            owner = np.full(COLOUR_HW, len(INDOOR.concepts))
            for entity in entities:
                if entity.score >= 0.3:
                    owner[decode(entity.mask)] = INDOOR.concept_of(entity.phrase)
            np.add.at(counts, (room.scene.material[surface.solid], owner.ravel()), 1)
            captions.append(caption)
    return counts, captions


def test_names_of_room_classes_are_known_words() -> None:
    assert None not in CONCEPT_OF
    assert set(CONCEPT_OF) == set(range(len(INDOOR.concepts)))


def test_named_pixels_are_mostly_named_right_and_sometimes_wrong(seen: tuple) -> None:
    named = seen[0][:, :-1]
    right = named[np.arange(len(NAMES)), CONCEPT_OF].sum() / named.sum()
    assert 0.7 < right < 0.95


def test_no_wrong_name_takes_a_class_that_is_judged(seen: tuple) -> None:
    for index, name in enumerate(NAMES):
        total = seen[0][index].sum()
        wrong = np.delete(seen[0][index, :-1], CONCEPT_OF[index])
        if name not in UNCLASSED and total >= 500:
            assert wrong.max() < 0.35 * total, (name, INDOOR.concepts[int(wrong.argmax())].words)


def test_every_class_is_recalled(seen: tuple) -> None:
    for index, name in enumerate(NAMES):
        assert seen[0][index, CONCEPT_OF[index]] > 0.2 * seen[0][index].sum() > 0, name
