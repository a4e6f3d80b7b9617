"""The regions of `palette` against the plain algorithm, which keeps a mask of the whole image per region."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from lass3d_core.files.masks import decode, encode_parts
from preprocess.lvm import colour_regions
from preprocess.lvm.colour_regions import MAX_REGIONS, Regions, regions
from preprocess.lvm.concepts import WORLDS
from preprocess.lvm.params import PaletteEntityParams
from preprocess.simulation.room.sensors import COLOUR_HW, COLOUR_K, seen_from, walk
from preprocess.simulation.room.sensors import camera_image as room_image
from preprocess.simulation.room.world import build_room
from preprocess.simulation.street.rig import cameras
from preprocess.simulation.street.sensors import camera_image
from preprocess.simulation.street.world import build_scene, drive, lay_out

Plain = list[tuple[int, np.ndarray, float]]
"""Concept, mask (H,W) and score of each region."""


def plain_regions(image: np.ndarray, params: PaletteEntityParams) -> Plain:
    concepts = WORLDS[params.world].concepts
    pixels = ndimage.uniform_filter(image / 255.0, size=(params.smoothing_px, params.smoothing_px, 1))
    known = np.array([colour for concept in concepts for colour in concept.colours])
    owner = np.array([index for index, concept in enumerate(concepts) for _ in concept.colours])
    distance, nearest = cKDTree(np.concatenate([known * level for level in params.shading])).query(pixels)
    concept = np.where(distance > params.max_distance, -1, owner[nearest % len(owner)])
    large = np.zeros(concept.shape, bool)
    for index in range(len(concepts)):
        parts, count = ndimage.label(concept == index)
        for part in range(1, count + 1):
            large |= (parts == part) if (parts == part).sum() >= params.min_pixels else False
    if large.any():
        gap, (row, column) = ndimage.distance_transform_edt(~large, return_indices=True)
        concept = np.where(gap <= 2, concept[row, column], concept)
    found = []
    for index in range(len(concepts)):
        parts, count = ndimage.label(concept == index)
        for part in range(1, count + 1):
            mask = parts == part
            if mask.sum() >= params.min_pixels:
                mean = ndimage.mean(distance, parts, [part])[0]
                score = float(np.clip(1.0 - mean / params.max_distance, 0.0, 1.0))
                found.append((index, mask, round(score, 4)))
    return found


def agree(seen: Regions, plain: Plain) -> None:
    assert [(region.concept, region.score) for region in seen.found] == [(one[0], one[2]) for one in plain]
    masks = encode_parts(seen.labels, [region.area for region in seen.found])
    for number, (region, mask, (_, expected, _)) in enumerate(zip(seen.found, masks, plain), start=1):
        rows, columns = np.nonzero(expected)
        assert region.box_xyxy == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert region.area == expected.sum()
        assert np.array_equal(decode(mask), expected) and np.array_equal(seen.labels == number, expected)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


def blots(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(width)
    fields = [ndimage.gaussian_filter(rng.normal(size=(height, width, 3)), (s, s, 0)) * s for s in (1, 3, 9)]
    return np.clip(128 + 150 * sum(fields), 0, 255).astype(np.uint8)


def checkers(height: int, width: int) -> np.ndarray:
    rows, columns = np.indices((height, width))
    colours = np.array([[69, 69, 71], [146, 21, 21]], np.uint8)  # road and car, in shade
    return colours[(rows + columns) % 2]


def street(seed: int) -> np.ndarray:
    rng = np.random.default_rng((11, seed))
    layout = lay_out(rng, 1)
    scene, pose = build_scene(rng, layout), drive(rng, layout)[0]
    return camera_image(scene, pose, cameras(1)["image_2"], rng)


def room(seed: int) -> np.ndarray:
    rng = np.random.default_rng((11, seed))
    built = build_room(rng)
    pose = next(iter(walk(rng, built.plan, built.world_from_room, 1)))
    return room_image(seen_from(built, pose, COLOUR_K, COLOUR_HW), rng)


IMAGES = {
    "noise": (noise(40, 60), PaletteEntityParams()),
    "finest noise": (noise(30, 41), PaletteEntityParams(smoothing_px=1, min_pixels=1)),
    "blots": (blots(80, 90), PaletteEntityParams()),
    "blots of a room": (blots(81, 70), PaletteEntityParams(world="indoor", shading=(0.5, 1.0))),
    "checkers": (checkers(32, 33), PaletteEntityParams(smoothing_px=1, min_pixels=1)),
    "checkers, all too small": (checkers(32, 33), PaletteEntityParams(smoothing_px=1)),
    "wide window": (blots(50, 60), PaletteEntityParams(smoothing_px=6, min_pixels=3)),
    "black": (np.zeros((20, 30, 3), np.uint8), PaletteEntityParams()),
    "nothing known": (noise(9, 9), PaletteEntityParams(max_distance=0.001)),
    "one pixel": (noise(1, 1), PaletteEntityParams(min_pixels=1)),
    "a row": (blots(1, 300), PaletteEntityParams(min_pixels=2)),
    "a column": (blots(300, 1), PaletteEntityParams(min_pixels=2)),
    "street 0": (street(0), PaletteEntityParams()),
    "street 1": (street(1), PaletteEntityParams()),
    "room": (room(0), PaletteEntityParams(world="indoor")),
}


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("strip", [None, 700])
def test_regions_are_those_of_the_plain_algorithm_in_strips_and_as_a_whole(
    name: str, strip: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, params = IMAGES[name]
    if strip is not None:
        monkeypatch.setattr(colour_regions, "_STRIP_PIXELS", strip)
    agree(regions(image, params), plain_regions(image, params))


@pytest.mark.parametrize("name", ["blots", "checkers", "street 0"])
def test_of_too_many_regions_the_largest_stay_in_their_order(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, params = IMAGES[name]
    monkeypatch.setattr(colour_regions, "MAX_REGIONS", 7)
    plain = plain_regions(image, params)
    kept = sorted(range(len(plain)), key=lambda one: -plain[one][1].sum())[:7]
    assert len(plain) > 7
    agree(regions(image, params), [plain[one] for one in sorted(kept)])


PEAK = """
import sys
import numpy as np
from preprocess.lvm.palette import PaletteCaptioner, PaletteDetector
from preprocess.lvm.params import PaletteCaptionParams, PaletteEntityParams

def peak_mb():
    # Not ru_maxrss, which begins with the peak of the process that started this one.
    status = open("/proc/self/status").read()
    return int(status.split("VmHWM:")[1].split()[0]) / 1000

height, width, smoothing_px = map(int, sys.argv[2:])
rng = np.random.default_rng(0)
image = np.zeros((height, width, 3), np.uint8)
for top in range(0, height, 100):
    rows, columns = np.indices((len(image[top : top + 100]), width))
    image[top : top + 100] = {
        "noise": lambda: rng.integers(0, 256, (*rows.shape, 3), np.uint8),
        "checkers": lambda: np.array([[69, 69, 71], [146, 21, 21]], np.uint8)[(rows + columns) % 2],
        "stripes": lambda: np.array([[69, 69, 71], [146, 21, 21]], np.uint8)[rows % 2],
    }[sys.argv[1]]()
before = peak_mb()
(caption,) = PaletteCaptioner(PaletteCaptionParams(smoothing_px=smoothing_px)).caption([image])
detector = PaletteDetector(PaletteEntityParams(smoothing_px=smoothing_px))
(found,) = detector.detect([image], [[one.phrase for one in caption.phrases]])
print(len(found), peak_mb() - before)
"""


def measured(*arguments: object) -> tuple[int, float]:
    """The number of entities in an image, and by how many MB to find them raises the peak of the memory."""
    command = [sys.executable, "-c", PEAK, *map(str, arguments)]
    root = Path(__file__).parents[3]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    entities, megabytes = run.stdout.split()
    return int(entities), float(megabytes)


@pytest.mark.parametrize(("kind", "smoothing_px"), [("noise", 3), ("stripes", 1)])
def test_an_image_of_two_megapixels_takes_at_most_300_mb(kind: str, smoothing_px: int) -> None:
    entities, megabytes = measured(kind, 1200, 1920, smoothing_px)
    assert 1000 < entities <= MAX_REGIONS
    assert megabytes < 300


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "smoothing_px"), [("noise", 3), ("checkers", 1)])
def test_an_image_of_twelve_megapixels_takes_at_most_300_mb(kind: str, smoothing_px: int) -> None:
    _, megabytes = measured(kind, 3000, 4000, smoothing_px)
    assert megabytes < 300
