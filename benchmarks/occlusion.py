"""Do points behind a car get the name of the car? What the z-buffer of the scan prevents, and what it loses.

    python benchmarks/occlusion.py [--scans 30] [--seed 0]

Simulated streets with a LiDAR and one or four cameras. Points are paired as `make pairs` does, once with
`visibility: none` and once with the manifest's defaults. Each point is judged by its class:

wrong: background points (road, building, vegetation, ...) whose entity is a foreground thing (car, pole,
       ...), as a share of all background points in an image;
right: points whose entity names their class;
lost:  right points that the z-buffer leaves without an entity, or with an entity of another class.

Two kinds of entities are tried. `true`: per pixel, the class that the ray caster meets there. Then occlusion
and the size of a pixel are the only causes of error. `palette`: what the stand-in finds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lass3d_core.files.masks import encode
from lass3d_core.manifest.schema import PairsSpec
from lass3d_core.records import NONE, Camera, Entity, FilePart, PointTextPairs, Scan, View
from preprocess.lvm.concepts import OUTDOOR
from preprocess.lvm.palette import (
    PaletteCaptioner,
    PaletteCaptionParams,
    PaletteDetector,
    PaletteEntityParams,
)
from preprocess.simulation.pinhole import cast_from, pixel_directions
from preprocess.simulation.shapes import NOTHING, Scene
from preprocess.simulation.street import rig
from preprocess.simulation.street.materials import MATERIALS
from preprocess.simulation.street.sensors import LidarModel, camera_image, sweep
from preprocess.simulation.street.world import build_scene, drive, lay_out
from preprocess.stages.pairing import Entities, pair

FOREGROUND = ("fence", "trunk", "pole", "traffic sign", "car", "truck", "person", "bicyclist")
RANGE_M = 80.0
VISIBILITIES = {"none": PairsSpec(visibility="none"), "zbuffer": PairsSpec()}
PHRASE_OF_CLASS = {
    "parking": "parking lot",
    "terrain": "grass",
    "vegetation": "trees",
    "bicyclist": "cyclist",
}
"""Class of the street -> word of the palette, if they differ."""


@dataclass(frozen=True)
class Street:
    """A scan of a street. classes (N,): index into MATERIALS, NONE for dust."""

    scan: Scan
    classes: np.ndarray
    true: Entities
    palette: Entities


@dataclass
class Counts:
    """Numbers of points over all scans, see the head of this file."""

    background: int = 0
    wrong: int = 0
    right: int = 0
    lost: int = 0


def main() -> None:
    """Print a line for each set of cameras and each source of entities."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=30, help="streets of one scan each (default: 30)")
    parser.add_argument("--seed", type=int, default=0, help="of the streets (default: 0)")
    arguments = parser.parse_args()
    print(f"{'cameras':<8} {'entities':<8} {'background':>10} {'wrong, none':>16} {'zbuffer':>16}", end="")
    print(f" {'ratio':>6} {'right, none':>12} {'lost':>14}")
    for cameras in (1, 4):
        numbers = range(arguments.scans)
        streets = (street(arguments.seed, number, cameras) for number in numbers)
        for name, (none, tested) in measure(tqdm(streets, total=len(numbers), unit="scan")).items():
            print(line(cameras, name, none, tested), flush=True)


def line(cameras: int, name: str, none: Counts, tested: Counts) -> str:
    """A row of the table."""
    wrong = [f"{counts.wrong} ({counts.wrong / none.background:.2%})" for counts in (none, tested)]
    lost = f"{tested.lost} ({tested.lost / none.right:.2%})"
    return (
        f"{cameras:<8} {name:<8} {none.background:>10} {wrong[0]:>16} {wrong[1]:>16} "
        f"{tested.wrong / none.wrong:>6.2f} {none.right:>12} {lost:>14}"
    )


def measure(streets: Iterable[Street]) -> dict[str, tuple[Counts, Counts]]:
    """Source of the entities -> counts with visibility `none` and `zbuffer`."""
    totals = {name: (Counts(), Counts()) for name in ("true", "palette")}
    for one in streets:
        for name, found in (("true", one.true), ("palette", one.palette)):
            pairs = {kind: pair(one.scan, found, spec).pairs for kind, spec in VISIBILITIES.items()}
            inside = (pairs["none"].image[:, 0] != NONE) & (one.classes != NONE)
            named = [classes_named(pairs[kind]) for kind in VISIBILITIES]
            for counts, given in zip(totals[name], named):
                add(counts, one.classes[inside], named[0][inside], given[inside])
    return totals


def add(counts: Counts, classes: np.ndarray, without: np.ndarray, given: np.ndarray) -> None:
    """Count points (n,) in an image by three classes: true, named without the z-buffer, named with it."""
    foreground = [_class(name) for name in FOREGROUND]
    background, right = ~np.isin(classes, foreground), without == classes
    counts.background += int(background.sum())
    counts.wrong += int((background & np.isin(given, foreground)).sum())
    counts.right += int(right.sum())
    counts.lost += int((right & (given != classes)).sum())


def classes_named(pairs: PointTextPairs) -> np.ndarray:
    """The class (N,) that the entity of each point names, NONE without an entity."""
    classes = [_CLASS_OF_CONCEPT.get(OUTDOOR.concept_of(phrase), NONE) for phrase in pairs.phrases]
    return np.array([*classes, NONE])[pairs.entity]


def street(seed: int, number: int, cameras: int) -> Street:
    """Simulate a street and a scan of it."""
    rng = np.random.default_rng((seed, number))
    layout = lay_out(rng, frames=1)
    scene, pose = build_scene(rng, layout), drive(rng, layout)[0]
    measured = sweep(scene, pose, rng, LidarModel())
    rigged = rig.cameras(cameras)
    class_of = {material.raw_id: index for index, material in enumerate(MATERIALS)}
    images = [camera_image(scene, pose, camera, rng) for camera in rigged.values()]
    views = tuple(View(name, FilePart(Path(name)), camera) for name, camera in rigged.items())
    return Street(
        scan=Scan(f"{number:06d}", measured.points, measured.remission[:, None], None, views),
        classes=np.array([class_of.get(raw, NONE) for raw in measured.raw_labels.tolist()]),
        true={name: true_entities(scene, pose, camera) for name, camera in rigged.items()},
        palette=dict(zip(rigged, palette_entities(images))),
    )


def true_entities(scene: Scene, pose: np.ndarray, camera: Camera) -> list[Entity]:
    """An entity per class: the pixels whose central ray meets it first."""
    world_from_camera = pose @ np.linalg.inv(camera.cam_from_points)
    _, solid = cast_from(scene, world_from_camera, pixel_directions(camera), RANGE_M)
    classes = np.where(solid == NOTHING, NONE, scene.material[solid]).reshape(camera.size_hw)
    height, width = camera.size_hw
    return [
        Entity(_phrase(index), 1.0, (0.0, 0.0, width, height), encode(classes == index))
        for index in np.unique(classes[classes != NONE])
    ]


def palette_entities(images: Sequence[np.ndarray]) -> list[list[Entity]]:
    """What the palette finds for the phrases of its captions."""
    captions = PaletteCaptioner(PaletteCaptionParams()).caption(images)
    words = [[grounded.phrase for grounded in caption.phrases] for caption in captions]
    return PaletteDetector(PaletteEntityParams()).detect(images, words)


def _class(name: str) -> int:
    return [material.name for material in MATERIALS].index(name)


def _phrase(index: int) -> str:
    name = MATERIALS[index].name
    return PHRASE_OF_CLASS.get(name, name)


_CLASS_OF_CONCEPT = {OUTDOOR.concept_of(_phrase(index)): index for index in range(len(MATERIALS))}
"""Concept of the palette -> class of the street; the sky has no class."""


if __name__ == "__main__":
    main()
