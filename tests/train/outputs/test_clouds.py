from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lass3d_core.clouds.ply import read_ply
from lass3d_core.files.shards import ShardHeader
from lass3d_core.records import PairedScan, PointTextPairs
from train.__main__ import main
from train.outputs.clouds import (
    GREY,
    RIGHT,
    WRONG,
    ColouredCloud,
    clouds_of,
)
from train.outputs.colours import distinct_colours

HEADER = ShardHeader(
    dataset="hand",
    shard="0",
    split="val",
    class_names=("road", "car"),
    colours=((10, 20, 30), (200, 100, 50)),
    raw_ids=(40, 10),
    feature_names=("remission",),
    record={"stage": "pairs", "schema": 1, "params": {}, "inputs": {}, "upstream": {}},
    producer="test",
)
ROAD, CAR, IGNORED = HEADER.colours[0], HEADER.colours[1], GREY
PREDICTION = np.array([0, 1, 1, 0], np.uint8)
COLOUR_OF = {"a car": (1, 2, 3), "the road": (4, 5, 6)}


def four_points(labels: np.ndarray | None) -> PairedScan:
    """Points 0 and 1 are seen by the second image, 2 by the first; 0 is "the road", 2 "a car"."""
    pairs = PointTextPairs(
        image=np.array([[1, 0], [1, -1], [0, -1], [-1, -1]], np.int16),
        entity=np.array([1, -1, 0, -1], np.int16),
        image_ids=("left", "right"),
        phrases=("a car", "the road"),
    )
    points = np.arange(12, dtype=np.float32).reshape(4, 3)
    return PairedScan("00/000007", points, np.zeros((4, 1), np.float32), labels, pairs)


def shown(labels: np.ndarray | None = None) -> dict[str, ColouredCloud]:
    return {cloud.name: cloud for cloud in clouds_of(four_points(labels), PREDICTION, HEADER, COLOUR_OF)}


def colours(cloud: ColouredCloud) -> list[tuple[int, ...]]:
    return [tuple(row) for row in cloud.colours.tolist()]


def test_truth_and_prediction_have_the_colours_of_the_classes_and_ignored_points_are_grey() -> None:
    found = shown(np.array([0, 0, 1, 255], np.uint8))
    assert colours(found["truth"]) == [ROAD, ROAD, CAR, IGNORED]
    assert colours(found["prediction"]) == [ROAD, CAR, CAR, ROAD]
    assert found["truth"].scalars["label"].tolist() == [0, 0, 1, 255]
    assert found["prediction"].scalars["prediction"].tolist() == PREDICTION.tolist()
    assert found["truth"].meaning == ["10 20 30 road", "200 100 50 car", "128 128 128 no class"]


def test_wrong_points_stand_out() -> None:
    error = shown(np.array([0, 0, 1, 255], np.uint8))["error"]
    assert colours(error) == [RIGHT, WRONG, RIGHT, GREY]
    assert set(error.scalars) == {"label", "prediction"}


def test_a_point_has_the_colour_of_its_phrase_and_of_its_best_image() -> None:
    found = shown()
    assert colours(found["entities"]) == [(4, 5, 6), GREY, (1, 2, 3), GREY]
    assert found["entities"].meaning == ["128 128 128 none", "1 2 3 0 = a car", "4 5 6 1 = the road"]
    left, right = distinct_colours(2)
    assert colours(found["images"]) == [right, right, left, GREY]
    assert found["images"].scalars["image"].tolist() == [1, 1, 0, -1]


def test_a_phrase_is_coloured_without_an_image_of_its_own() -> None:
    """A vote gives it, by images of other scans."""
    scan = four_points(None)
    voted = replace(scan, pairs=replace(scan.pairs, entity=np.array([-1, -1, 0, 1], np.int16)))
    found = {cloud.name: cloud for cloud in clouds_of(voted, PREDICTION, HEADER, COLOUR_OF)}
    assert colours(found["entities"]) == [GREY, GREY, (1, 2, 3), (4, 5, 6)]
    assert colours(found["images"])[3] == GREY


def test_a_scan_without_labels_has_neither_truth_nor_error() -> None:
    assert set(shown()) == {"prediction", "entities", "images"}


def test_phrases_that_do_not_occur_are_not_in_the_comment() -> None:
    scan = four_points(None)
    pairs = PointTextPairs(scan.pairs.image, np.full(4, -1, np.int16), scan.pairs.image_ids, ("a car",))
    bare = PairedScan(scan.scan_id, scan.points, scan.features, None, pairs)
    entities = {cloud.name: cloud for cloud in clouds_of(bare, PREDICTION, HEADER, COLOUR_OF)}["entities"]
    assert colours(entities) == [GREY] * 4
    assert entities.meaning == ["128 128 128 none"]


@pytest.fixture
def trained(tiny):
    assert main([*tiny.training("--set", "schedule.steps=2", "--set", "schedule.validate_every=2")]) == 0
    return tiny


def clouds(project, *more: str) -> int:
    return main(project.arguments("clouds", "--method", "supervised", "--ratio", "20", *more))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_five_files_a_scan_hold_its_points_and_say_what_their_colours_are(
    trained, make_tiny_scan, capsys
) -> None:
    capsys.readouterr()
    assert clouds(trained, "--scans", "1/1") == 0
    folder = trained.run("supervised-demo-r20-s0") / "clouds-val"
    assert capsys.readouterr().out == f"wrote 5 clouds of 1 of 2 scans of val to {folder}\n"
    kinds = ("entities", "error", "images", "prediction", "truth")
    assert names(folder) == [f"1_1-{kind}.ply" for kind in kinds]
    scan = make_tiny_scan("1/1", 101)
    for kind in kinds:
        vertices = read_ply(folder / f"1_1-{kind}.ply")["vertex"]
        assert np.array_equal(np.column_stack([vertices[axis] for axis in "xyz"]), scan.points)
    truth = read_ply(folder / "1_1-truth.ply")["vertex"]
    assert np.array_equal(truth["label"], scan.labels)
    assert (truth["red"][5:150] == 90).all() and (truth["red"][:5] == GREY[0]).all()
    header = (folder / "1_1-entities.ply").read_bytes().split(b"end_header")[0].decode()
    assert "comment scan 1/1: entities" in header and "= the ground" in header


def test_a_limit_takes_scans_evenly_and_a_folder_may_be_named(trained, tmp_path: Path) -> None:
    assert clouds(trained, "--split", "train", "--limit", "3", "--into", str(tmp_path / "there")) == 0
    scans = {name.split("-")[0] for name in names(tmp_path / "there")}
    assert len(scans) == 3 and {"0_0", "0_9"} < scans


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--scans", "1/1", "1/7"), "the split val has no scan '1/7'; did you mean '1/"),
        (("--split", "vall"), "no split 'vall' (known: train, val, test)"),
        (("--limit", "0"), "--limit: must be at least 1, got 0"),
        (("--tag", "never"), "config.json is missing"),
    ],
)
def test_a_wrong_choice_is_one_line(trained, capsys, more: tuple[str, ...], said: str) -> None:
    capsys.readouterr()
    assert clouds(trained, *more) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and said in lines[0], lines
