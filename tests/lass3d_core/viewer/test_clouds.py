from __future__ import annotations

import base64
import zlib
from dataclasses import replace

import numpy as np
import pytest

from lass3d_core.labels import IGNORE
from lass3d_core.viewer.clouds import MOST_OF_A_CLOUD, Likeness, PicturedCloud, Viewer, viewer_of
from tests.lass3d_core.viewer.conftest import COLOURS, NAMES, InNode


def viewer(*clouds: PicturedCloud) -> Viewer:
    return viewer_of(clouds, NAMES, COLOURS)


def unpacked(text: str) -> np.ndarray:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)


def test_the_script_unpacks_what_was_known_of_the_cloud(pictured: PicturedCloud, in_node: InNode) -> None:
    liked = replace(pictured, likeness=Likeness(np.arange(900).astype(np.uint8), 0.1, 0.6))
    payload = viewer(liked).clouds[0].payload
    names = ("prediction", "truth", "confidence", "text", "views", "share", "likeness", "seen")
    found = in_node(
        """const cloud = await unpack(given.payload), columns = {};
           for (const name of given.names) columns[name] = [...cloud[name]];
           const places = Array.from({ length: cloud.count }, (_, i) => absolute(cloud, i));
           return { ...columns, places, phrases: cloud.phrases, home: cloud.home, reach: cloud.reach };""",
        payload=payload,
        names=names,
    )
    assert np.abs(np.array(found["places"]) - pictured.points).max() <= 0.5 * payload["step"] + 1e-5
    words = pictured.words
    assert pictured.confidence is not None and pictured.truth is not None and words is not None
    assert np.array_equal(found["prediction"], pictured.prediction)
    assert np.array_equal(found["truth"], pictured.truth)
    assert np.abs(np.array(found["confidence"]) / 255 - pictured.confidence).max() <= 0.5 / 255 + 1e-6
    assert found["text"] == words.text.tolist() and tuple(found["phrases"]) == words.phrases
    assert found["views"] == words.views.tolist() and found["share"] == words.share.tolist()
    assert np.array_equal(np.array(found["seen"]) & 1, pictured.photos[0].seen)
    # The view turns about the sensor at the height of the ground.
    home = np.array(found["home"]) + payload["origin"]
    assert np.abs(home[:2]).max() < 1e-6 and abs(home[2] - np.quantile(pictured.points[:, 2], 0.3)) < 0.02
    flat = np.hypot(pictured.points[:, 0], pictured.points[:, 1])
    assert found["reach"] == pytest.approx(np.quantile(flat, 0.9), rel=0.01)


def test_a_cloud_that_surrounds_no_sensor_turns_about_its_middle(
    pictured: PicturedCloud, in_node: InNode
) -> None:
    for one in (
        replace(pictured, points=pictured.points + 500.0),
        replace(pictured, has_sensor=False),
    ):
        payload = viewer(one).clouds[0].payload
        home = in_node("return (await unpack(given.payload)).home;", payload=payload)
        middle = np.median(one.points[:, :2], axis=0)
        assert np.abs(home[:2] + np.array(payload["origin"][:2]) - middle).max() < 0.1


def test_a_page_shows_the_modes_for_which_it_has_figures(pictured: PicturedCloud) -> None:
    assert [mode.name for mode in viewer(pictured).modes] == [
        "prediction", "truth", "error", "confidence", "words",
    ]  # fmt: skip
    bare = PicturedCloud("a", pictured.points, pictured.prediction)
    assert [mode.name for mode in viewer(bare).modes] == ["prediction"]
    assert "confidence" not in viewer(bare).clouds[0].payload
    liked = replace(bare, likeness=Likeness(np.zeros(900, np.uint8), 0.0, 1.0))
    assert [mode.name for mode in viewer(liked).modes] == ["likeness", "prediction"]


def test_a_large_cloud_is_thinned_and_the_same_points_are_taken_again(pictured: PicturedCloud) -> None:
    count = MOST_OF_A_CLOUD + 5
    points = np.random.default_rng(2).uniform(-50, 50, (count, 3))
    large = PicturedCloud("a", points, np.zeros(count, np.uint8))
    shown = viewer(large)
    assert (shown.clouds[0].points, shown.clouds[0].shown) == (count, MOST_OF_A_CLOUD)
    assert len(unpacked(shown.clouds[0].payload["prediction"])) == MOST_OF_A_CLOUD
    assert shown == viewer(large)
    assert {one.shown for one in viewer(large, large, large).clouds} == {80_000}


def test_the_legend_names_the_classes_that_occur_and_no_other(pictured: PicturedCloud) -> None:
    truth = np.where(np.arange(900) < 3, 2, IGNORE).astype(np.uint8)
    one = replace(pictured, prediction=np.zeros(900, np.uint8), truth=truth)
    assert viewer(one).legend == ((0, "ground", "rgb(90 90 90)"), (2, "lamp", "rgb(250 240 80)"))


@pytest.mark.parametrize(("truth", "expected"), [([0, 1, 255, 1], 2 / 3), ([255] * 4, None), (None, None)])
def test_the_share_of_right_points_is_taken_over_the_labelled_points(
    truth: list[int] | None, expected: float | None
) -> None:
    labels = None if truth is None else np.array(truth, np.uint8)
    one = PicturedCloud("a", np.zeros((4, 3)), np.array([0, 1, 1, 2], np.uint8), truth=labels)
    assert viewer(one).clouds[0].right == expected
