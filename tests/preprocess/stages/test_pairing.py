from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lass3d_core.errors import DataError
from lass3d_core.files.masks import decode, encode
from lass3d_core.files.shards import ShardReader
from lass3d_core.geometry.projection import project, rigid
from lass3d_core.manifest.schema import PairsSpec
from lass3d_core.records import NONE, Camera, DepthImage, Entity, FilePart, Scan, View
from preprocess.stages.entities import entities_in
from preprocess.stages.pairing import BestViews, painted, pair

SIZE = (12, 16)
EVERYTHING = PairsSpec(min_score=0.0, visibility="none", min_depth_m=0.0)


def entity(phrase: str, mask: np.ndarray, score: float = 0.5) -> Entity:
    return Entity(phrase, score, (0.0, 0.0, 1.0, 1.0), encode(mask))


def square(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def view(name: str, yaw: float = 0.0, depth: Path | None = None) -> View:
    """A camera at the origin that looks along +z, turned about its vertical axis by `yaw`."""
    turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    K = np.array([[10.0, 0, 8], [0, 10, 6], [0, 0, 1]])
    camera = Camera(K, rigid(turn, np.zeros(3)), SIZE)
    measured = None if depth is None else DepthImage(FilePart(depth), camera)
    return View(name, FilePart(Path(f"{name}.png")), camera, measured)


def scan(points: Any, *views: View) -> Scan:
    points = np.asarray(points, np.float32).reshape(-1, 3)
    return Scan("00/0", points, np.zeros((len(points), 1), np.float32), None, views)


def test_the_smaller_of_two_masks_owns_the_pixel() -> None:
    found = [entity("car", square(2, 2, 6, 6), 0.4), entity("road", square(0, 0, 12, 16), 0.9)]
    owner = painted(found, {"car": 0, "road": 1}, SIZE, "smallest_area")
    assert owner[3, 3] == 0 and owner[8, 8] == 1
    owner = painted(found, {"car": 0, "road": 1}, SIZE, "highest_score")
    assert (owner == 1).all()


def test_equal_masks_go_to_the_higher_score_then_to_the_first() -> None:
    mask = square(0, 0, 3, 3)
    found = [entity("a", mask, 0.4), entity("b", mask, 0.6), entity("c", mask, 0.6)]
    assert painted(found, {"a": 0, "b": 1, "c": 2}, SIZE, "smallest_area")[0, 0] == 1


def test_no_entity_owns_no_pixel() -> None:
    assert (painted([], {}, SIZE, "smallest_area") == NONE).all()


def test_a_mask_of_another_size_is_refused() -> None:
    wrong = Entity("car", 0.5, (0.0, 0.0, 1.0, 1.0), encode(np.ones((4, 4), bool)))
    with pytest.raises(DataError, match=r"image 00/0: the mask of 'car' is \(4, 4\), the image \(12, 16\)"):
        painted([wrong], {"car": 0}, SIZE, "smallest_area", "00/0")


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_painting_equals_asking_every_pixel(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    rule = data.draw(st.sampled_from(["smallest_area", "highest_score"]))
    masks = [rng.random(SIZE) < rng.random() for _ in range(data.draw(st.integers(0, 5)))]
    scores = [float(rng.integers(1, 4)) / 4 for _ in masks]
    found = [entity(str(i), mask, score) for i, (mask, score) in enumerate(zip(masks, scores))]
    owner = painted(found, {str(i): i for i in range(len(found))}, SIZE, rule)
    for v, u in np.ndindex(SIZE):
        over = [i for i, mask in enumerate(masks) if mask[v, u]]
        if rule == "smallest_area":
            best = min(over, key=lambda i: (masks[i].sum(), -scores[i], i), default=NONE)
        else:
            best = min(over, key=lambda i: (-scores[i], masks[i].sum(), i), default=NONE)
        assert owner[v, u] == best


def test_a_point_takes_the_entity_at_its_pixel() -> None:
    found = {"front": [entity("car", square(5, 7, 8, 10)), entity("road", square(9, 0, 12, 16))]}
    ahead, below, above, behind = (0, 0, 2), (0, 1, 2), (0, -1, 2), (0, 0, -2)
    paired = pair(scan([ahead, below, above, behind], view("front")), found, EVERYTHING).pairs
    assert paired.phrases == ("car", "road") and paired.image_ids == ("front",)
    assert paired.image.tolist() == [[0], [0], [0], [NONE]]
    assert paired.entity.tolist() == [0, 1, NONE, NONE]


def test_an_entity_below_the_score_is_left_out() -> None:
    found = {"front": [entity("car", square(0, 0, 12, 16), 0.29), entity("road", square(0, 0, 12, 16), 0.3)]}
    paired = pair(scan([(0, 0, 2)], view("front")), found, PairsSpec(min_score=0.3, visibility="none"))
    assert paired.pairs.phrases == ("road",)


def test_an_image_that_failed_gives_an_image_and_no_entity() -> None:
    paired = pair(scan([(0, 0, 2)], view("front")), {}, EVERYTHING).pairs
    assert paired.image.tolist() == [[0]] and paired.entity.tolist() == [NONE]


def test_a_scan_without_views_is_paired_with_nothing() -> None:
    paired = pair(scan([(0, 0, 2), (1, 0, 2)]), {}, EVERYTHING).pairs
    assert paired.image.tolist() == [[NONE], [NONE]] and paired.entity.tolist() == [NONE, NONE]


def test_a_hidden_point_is_paired_with_nothing() -> None:
    found = {"front": [entity("car", square(0, 0, 12, 16))]}
    paired = pair(scan([(0, 0, 2), (0, 0, 9)], view("front")), found, PairsSpec(splat_radius_px=1)).pairs
    assert paired.image.tolist() == [[0], [NONE]] and paired.entity.tolist() == [0, NONE]


def added(distance: Any, entity_of: Any, max_views: int) -> BestViews:
    """Views one after another: distance (V,N), infinite where a view does not see the point, entity (V,N)."""
    distance, entity_of = np.asarray(distance, np.float32), np.asarray(entity_of, np.int16)
    best = BestViews(distance.shape[1], max_views)
    for slot, (row, entities_of_view) in enumerate(zip(distance, entity_of)):
        point = np.flatnonzero(np.isfinite(row))
        best.add(slot, point, row[point], entities_of_view[point])
    return best


def test_views_come_best_centred_first_and_at_most_max_views() -> None:
    distance = [[0.5, np.inf, 0.1], [0.2, np.inf, np.inf], [0.2, 0.9, 0.3]]
    nothing = np.full((3, 3), NONE)
    assert added(distance, nothing, 2).image.tolist() == [[1, 2], [2, NONE], [0, 2]]
    assert added(distance, nothing, 4).image.tolist() == [
        [1, 2, 0, NONE],
        [2, NONE, NONE, NONE],
        [0, 2, NONE, NONE],
    ]


def test_the_entity_comes_from_the_best_view_that_has_one() -> None:
    assert added([[0.1, 0.1], [0.5, np.inf]], [[NONE, 3], [4, NONE]], 1).entity.tolist() == [4, 3]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.integers(1, 5))
def test_views_one_by_one_give_what_sorting_all_of_them_gives(seed: int, views: int, max_views: int) -> None:
    rng = np.random.default_rng(seed)
    distance = rng.integers(0, 4, (views, 20)).astype(np.float32) / 4  # few values, many ties
    distance[rng.random(distance.shape) < 0.3] = np.inf
    entity_of = np.where(np.isinf(distance) | (rng.random(distance.shape) < 0.5), NONE, rng.integers(0, 9))
    best = added(distance.reshape(views, 20), entity_of.reshape(views, 20), max_views)
    for n in range(20):
        order = [slot for slot in np.argsort(distance[:, n], kind="stable") if np.isfinite(distance[slot, n])]
        assert best.image[n].tolist() == (order + [NONE] * max_views)[:max_views]
        named = [entity_of[slot, n] for slot in order if entity_of[slot, n] != NONE]
        assert best.entity[n] == (named[0] if named else NONE)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_pairing_equals_asking_every_point(seed: int, max_views: int) -> None:
    rng = np.random.default_rng(seed)
    views = [view(str(i), yaw) for i, yaw in enumerate(rng.uniform(-0.6, 0.6, 3))]
    points = rng.uniform((-2, -1, -1), (2, 1, 3), (60, 3)).astype(np.float32)
    names = ("car", "road", "tree")
    found = {
        str(i): [entity(name, rng.random(SIZE) < 0.4, float(rng.random())) for name in names]
        for i in range(2)
    }
    spec = PairsSpec(min_score=0.2, visibility="none", min_depth_m=0.01, max_views=max_views)
    paired = pair(scan(points, *views), found, spec).pairs
    for n, point in enumerate(points):
        seen = sorted(seen_by(point, views))
        slots = [slot for _, slot, _, _ in seen][:max_views]
        assert paired.image[n].tolist() == slots + [NONE] * (max_views - len(slots))
        owners = [owner_at(found.get(str(slot), []), v, u) for _, slot, v, u in seen]
        wanted = next((owner for owner in owners if owner is not None), None)
        got = paired.phrases[paired.entity[n]] if paired.entity[n] != NONE else None
        assert got == wanted


def seen_by(point: np.ndarray, views: list[View]) -> Any:
    """(distance from the centre, slot, v, u) of every view with the point in front and inside."""
    for slot, one in enumerate(views):
        uv, depth = project(one.camera, point[None])
        if depth[0] > 0.01 and 0 <= uv[0, 0] < SIZE[1] and 0 <= uv[0, 1] < SIZE[0]:
            u, v = int(uv[0, 0]), int(uv[0, 1])
            distance = np.float32(max(abs((u + 0.5) / 8 - 1), abs((v + 0.5) / 6 - 1)))
            yield distance, slot, v, u


def owner_at(entities: list[Entity], v: int, u: int) -> str | None:
    over = [one for one in entities if one.score >= 0.2 and decode(one.mask)[v, u]]
    best = min(over, key=lambda one: (decode(one.mask).sum(), -one.score), default=None)
    return best.phrase if best else None


def test_the_depth_image_decides_what_is_seen(tmp_path: Path) -> None:
    Image.fromarray(np.full(SIZE, 2000, np.uint16)).save(tmp_path / "depth.png")
    spec = PairsSpec(visibility="depth_map", depth_tolerance=0.1)
    points = [(0, 0, 2.1), (0, 0, 3)]
    paired = pair(scan(points, view("front", depth=tmp_path / "depth.png")), {}, spec).pairs
    assert paired.image.tolist() == [[0], [NONE]]


def test_a_view_without_a_depth_image_is_refused_where_one_is_needed(tmp_path: Path) -> None:
    spec = PairsSpec(visibility="depth_map")
    with pytest.raises(DataError, match="needs a depth image"):
        pair(scan([(0, 0, 2)], view("front")), {}, spec)
    (tmp_path / "depth.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be read as a depth image"):
        pair(scan([(0, 0, 2)], view("front", depth=tmp_path / "depth.png")), {}, spec)


def test_the_shards_hold_what_pairing_each_scan_gives(finished_street: Any) -> None:
    project_of = finished_street.project
    for block in project_of.blocks:
        found = entities_in(finished_street.artifacts / "entities" / f"{block.name}.jsonl")
        reader = ShardReader(finished_street.artifacts / "pairs" / f"{block.name}.h5")
        assert reader.scan_ids == block.scan_ids and reader.header.split == block.split
        for stored in reader.scans():
            wanted = pair(project_of.dataset.read_scan(stored.scan_id), found, project_of.manifest.pairs)
            assert np.array_equal(stored.points, wanted.points)
            assert np.array_equal(stored.labels, wanted.labels)
            assert np.array_equal(stored.pairs.image, wanted.pairs.image)
            assert np.array_equal(stored.pairs.entity, wanted.pairs.entity)
            assert stored.pairs.phrases == wanted.pairs.phrases
        reader.close()


def test_importing_pairs_loads_nothing_heavy() -> None:
    heavy = {"torch", "scipy", "transformers", "groundingdino", "segment_anything", "open_clip", "ray"}
    code = f"import sys, preprocess.stages.pairs; print(sorted(set(sys.modules) & {heavy!r}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("what", ["images", "phrases"])
def test_more_images_or_phrases_than_a_shard_can_number_are_one_line(what: str) -> None:
    one, count = view("a"), 32768
    views = [replace(one, image_id=f"a{number}") for number in range(count if what == "images" else 1)]
    mask = encode(square(0, 0, 1, 1))
    names = range(count if what == "phrases" else 1)
    found = {views[0].image_id: [Entity(f"word {i}", 0.5, (0.0, 0.0, 1.0, 1.0), mask) for i in names]}
    with pytest.raises(DataError, match=f"scan 00/0 has 32768 {what}; at most 32767 can be told apart"):
        pair(scan([[0, 0, 5]], *views), found, EVERYTHING)
