from __future__ import annotations

import numpy as np
import pytest

from lass3d_core.errors import UnknownName
from lass3d_core.files.masks import area, decode
from lass3d_core.geometry.visible_pixels import Visibility, visible_pixels
from lass3d_core.manifest.schema import EntitiesSpec, LvmSpec
from lass3d_core.records import Entity, ImageCaption
from preprocess.lvm import load_captioner, load_detector
from preprocess.lvm.concepts import OUTDOOR, WORLDS, Knowledge
from preprocess.lvm.palette import (
    PaletteCaptioner,
    PaletteCaptionParams,
    PaletteDetector,
    PaletteEntityParams,
)
from preprocess.simulation.street.materials import MATERIALS
from preprocess.simulation.street.rig import cameras
from preprocess.simulation.street.sensors import LidarModel, Sweep, camera_image, sweep
from preprocess.simulation.street.world import build_scene, drive, lay_out

NAMES = [material.name for material in MATERIALS]
WORD_OF_CLASS = {"parking": "parking lot", "terrain": "grass", "vegetation": "trees", "bicyclist": "cyclist"}
CONCEPTS, concept_of = OUTDOOR.concepts, OUTDOOR.concept_of
CONCEPT_OF_CLASS = [concept_of(WORD_OF_CLASS.get(name, name)) for name in NAMES]
CAPTIONER = PaletteCaptioner(PaletteCaptionParams())
DETECTOR = PaletteDetector(PaletteEntityParams())
ROAD, CAR, SKY = (0.33, 0.33, 0.34), (0.70, 0.10, 0.10), (0.62, 0.77, 0.92)


def painted(*rectangles: tuple[tuple[float, float, float], slice, slice]) -> np.ndarray:
    image = np.zeros((60, 80, 3), np.uint8)
    for colour, rows, columns in rectangles:
        image[rows, columns] = np.round(np.array(colour) * 0.82 * 255)
    return image


TOY = painted(
    (SKY, slice(0, 30), slice(None)), (ROAD, slice(30, 60), slice(None)), (CAR, slice(25, 45), slice(10, 40))
)


@pytest.fixture(scope="module")
def frames() -> list[tuple[Sweep, np.ndarray]]:
    found = []
    for seed in range(12):
        rng = np.random.default_rng((7, seed))
        layout = lay_out(rng, 1)
        scene, pose = build_scene(rng, layout), drive(rng, layout)[0]
        found.append(
            (sweep(scene, pose, rng, LidarModel()), camera_image(scene, pose, cameras(1)["image_2"], rng))
        )
    return found


@pytest.fixture(scope="module")
def read(frames: list[tuple[Sweep, np.ndarray]]) -> list[tuple[ImageCaption, list[Entity]]]:
    images = [image for _, image in frames]
    captions = CAPTIONER.caption(images)
    entities = DETECTOR.detect(images, [[item.phrase for item in caption.phrases] for caption in captions])
    return list(zip(captions, entities))


@pytest.fixture(scope="module")
def confusion(
    frames: list[tuple[Sweep, np.ndarray]], read: list[tuple[ImageCaption, list[Entity]]]
) -> np.ndarray:
    """Points by (class, concept of the entity that they fall on); the last column: on none."""
    counts = np.zeros((len(NAMES), len(CONCEPTS) + 1), np.int64)
    class_of_raw = {material.raw_id: index for index, material in enumerate(MATERIALS)}
    for (turn, image), (_, entities) in zip(frames, read):
        concept = np.full(image.shape[:2], len(CONCEPTS))
        for entity in entities:
            if entity.score >= 0.3:
                concept[decode(entity.mask)] = concept_of(entity.phrase)
        seen = visible_pixels(cameras(1)["image_2"], turn.points, Visibility())
        for point, v, u in zip(seen.point, seen.v, seen.u):
            raw = int(turn.raw_labels[point])
            if raw in class_of_raw:
                counts[class_of_raw[raw], concept[v, u]] += 1
    return counts


def test_names_of_street_classes_are_known_words() -> None:
    assert None not in CONCEPT_OF_CLASS
    assert len(set(CONCEPT_OF_CLASS)) == len(NAMES)


@pytest.mark.parametrize("known", WORLDS.values(), ids=WORLDS)
def test_no_word_of_a_concept_stands_in_another(known: Knowledge) -> None:
    for index, concept in enumerate(known.concepts):
        others = {
            word
            for other in known.concepts
            if other is not concept
            for name in other.words
            for word in name.split()
        }
        assert not others & {word for name in concept.words for word in name.split()}, index


def test_named_points_are_mostly_named_right_and_sometimes_wrong(confusion: np.ndarray) -> None:
    named = confusion[:, :-1]
    right = named[np.arange(len(NAMES)), CONCEPT_OF_CLASS].sum() / named.sum()
    assert 0.6 < right < 0.95


def test_no_wrong_name_takes_a_frequent_class(confusion: np.ndarray) -> None:
    for index, name in enumerate(NAMES):
        total = confusion[index].sum()
        if total >= 150:
            wrong = np.delete(confusion[index, :-1], CONCEPT_OF_CLASS[index])
            assert wrong.max() < 0.3 * total, (name, CONCEPTS[int(wrong.argmax())].words)


def test_every_class_is_recalled(confusion: np.ndarray) -> None:
    for index, name in enumerate(NAMES):
        assert confusion[index, CONCEPT_OF_CLASS[index]] > 0.2 * confusion[index].sum() > 0, name


def test_toy_image_has_its_three_things() -> None:
    vocabulary = ["street", "sedan", "clouds"]
    (found,) = DETECTOR.detect([TOY], [vocabulary])
    largest = {
        phrase: max((e for e in found if e.phrase == phrase), key=lambda e: area(e.mask))
        for phrase in vocabulary
    }
    car = largest["sedan"]
    assert car.box_xyxy == pytest.approx((10, 25, 40, 45), abs=1)
    assert 500 <= area(car.mask) <= 600  # blurred at the rim
    assert decode(largest["street"].mask)[55, 5] and decode(largest["clouds"].mask)[5, 5]
    assert car.score > 0.9


def test_masks_lie_in_their_boxes_and_do_not_overlap() -> None:
    (found,) = DETECTOR.detect([TOY], [["road", "car", "sky", "fence", "house"]])
    covered = np.zeros(TOY.shape[:2], int)
    for entity in found:
        mask = decode(entity.mask)
        rows, columns = np.nonzero(mask)
        assert entity.box_xyxy == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        covered += mask
    assert covered.max() == 1


def test_result_follows_from_the_image_alone() -> None:
    images = [TOY, TOY[::-1].copy(), TOY[:, ::-1].copy()]
    together = CAPTIONER.caption(images)
    assert together == [CAPTIONER.caption([image])[0] for image in images]
    assert (
        DETECTOR.detect(images[1:], [["road", "street"]] * 2)[0]
        == DETECTOR.detect([images[1]], [["road", "street"]])[0]
    )


def test_image_without_known_colours_is_described_all_the_same() -> None:
    strange = PaletteCaptioner(PaletteCaptionParams(max_distance=0.01))
    image = np.full((20, 30, 3), (255, 0, 255), np.uint8)
    (caption,) = strange.caption([image])
    assert caption.phrases == () and caption.text.startswith("An outdoor scene")


@pytest.mark.parametrize(
    ("phrase", "concept"),
    [
        ("a Car.", "car"),
        ("yellow traffic sign", "traffic sign"),
        ("house", "house"),
        ("the rusty gate", None),
        ("", None),
    ],
)
def test_concept_of_a_phrase_is_that_of_its_head(phrase: str, concept: str | None) -> None:
    assert concept_of(phrase) == (None if concept is None else concept_of(concept))


@pytest.mark.parametrize(
    "params",
    [{"min_pixels": 0}, {"max_distance": 0.0}, {"shading": []}, {"smoothing_px": 0}, {"min_pixel": 4}],
)
def test_bad_parameters_are_named(params: dict) -> None:
    with pytest.raises(UnknownName, match=r"entities\.params"):
        load_detector(EntitiesSpec("palette", params))
    with pytest.raises(UnknownName, match=r"image_captions\.params"):
        load_captioner(LvmSpec("palette", params))
