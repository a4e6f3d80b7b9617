"""The arithmetic of the page's script, run in node, against brute force in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lass3d_core.geometry.projection import project
from lass3d_core.viewer.clouds import PicturedCloud, viewer_of
from tests.lass3d_core.viewer.conftest import COLOURS, LENSES, NAMES, InNode, camera

SCREEN = {"width": 90, "height": 60}
OPEN = "const cloud = await unpack(given.payload), view = { ...startView(cloud), ...given.view };"
DRAW = f"{OPEN} const buffers = buffersOf(given.screen.width, given.screen.height); "
DRAWN = f"{DRAW} project(buffers, cloud, view, given.ratio, () => true); "


def payload_of(pictured: PicturedCloud) -> dict[str, Any]:
    return viewer_of([pictured], NAMES, COLOURS).clouds[0].payload


def relative(payload: dict[str, Any], in_node: InNode) -> np.ndarray:
    return np.reshape(in_node("return [...(await unpack(given.payload)).xyz];", payload=payload), (-1, 3))


def on_screen(view: dict[str, Any], points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The twin of `onScreen` by matrices: columns, rows and distances (N,)."""
    cy, sy, cp, sp = (
        *(f(view["yaw"]) for f in (np.cos, np.sin)),
        *(f(view["pitch"]) for f in (np.cos, np.sin)),
    )
    axes = np.array([[-sy, cy, 0], [-sp * cy, -sp * sy, cp], [-cp * cy, -cp * sy, -sp]])
    assert np.allclose(axes @ axes.T, np.eye(3))
    eye = np.array(view["target"]) - view["away"] * axes[2]
    right, up, far = axes @ (points - eye).T
    focal = 1.25 * min(SCREEN["width"], 1.6 * SCREEN["height"])
    return SCREEN["width"] / 2 + focal * right / far, SCREEN["height"] / 2 - focal * up / far, far


@pytest.fixture
def payload(pictured: PicturedCloud) -> dict[str, Any]:
    return payload_of(pictured)


VIEWS: list[dict[str, Any]] = [
    {"yaw": -2.5, "pitch": 0.62, "away": 45.0, "target": [20.0, 20.0, 1.0]},
    {"yaw": 1.0, "pitch": 1.5, "away": 9.0, "target": [25.0, 14.0, 2.0]},
]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_each_pixel_shows_the_nearest_of_the_points_that_cover_it(
    payload: dict[str, Any], in_node: InNode, view: dict[str, Any], ratio: float
) -> None:
    found = in_node(
        f"{DRAWN} return {{ seen: [...buffers.seen], reach: cloud.reach }};",
        payload=payload, view=view, screen=SCREEN, ratio=ratio,
    )  # fmt: skip
    x, y, far = on_screen(view, relative(payload, in_node))
    focal = 1.25 * min(SCREEN["width"], 1.6 * SCREEN["height"])
    size = 0.1 * found["reach"] * focal / len(x) ** 0.35
    radius = np.clip(size / far, 0.55 * ratio, 5 * ratio)
    rows, columns = np.mgrid[: SCREEN["height"], : SCREEN["width"]]
    gap = (columns[..., None] - np.floor(x + 0.5)) ** 2 + (rows[..., None] - np.floor(y + 0.5)) ** 2
    reaches = np.maximum(
        abs(columns[..., None] - np.floor(x + 0.5)), abs(rows[..., None] - np.floor(y + 0.5))
    )
    covers = (gap <= radius**2 + 0.5) & (reaches <= np.floor(radius)) & (far >= 0.02 * view["away"])
    depth = np.where(covers, far, np.inf)
    expected = np.where(covers.any(axis=2), depth.argmin(axis=2), -1)
    seen = np.reshape(found["seen"], expected.shape)
    # A point whose pixel is rounded at a half may fall to either side.
    assert (seen == expected).mean() > 0.998 and (expected >= 0).mean() > 0.05


def test_a_pick_is_the_nearest_pixel_with_a_point_and_of_several_the_nearest_point(
    payload: dict[str, Any], in_node: InNode
) -> None:
    cursors = np.random.default_rng(0).uniform([0, 0], [90, 60], (300, 2)).round(2)
    found = in_node(
        f"""{DRAWN} return {{ seen: [...buffers.seen],
              depth: [...buffers.depth].map((far) => Math.min(far, 1e9)),
              picks: given.cursors.map(([x, y]) => pointNear(buffers, x, y, 5)) }};""",
        payload=payload, view=VIEWS[0], screen=SCREEN, ratio=0.5, cursors=cursors,
    )  # fmt: skip
    seen, depth = (np.reshape(found[name], (60, 90)) for name in ("seen", "depth"))
    rows, columns = np.nonzero(seen >= 0)
    for (x, y), pick in zip(cursors, found["picks"]):
        gap = (columns - np.floor(x)) ** 2 + (rows - np.floor(y)) ** 2
        near = gap == gap.min()
        best = np.flatnonzero(near)[depth[rows[near], columns[near]].argmin()]
        expected = seen[rows[best], columns[best]] if gap.min() <= 25 else -1
        assert pick == expected
    assert 0 < sum(pick == -1 for pick in found["picks"]) < 250


@pytest.mark.parametrize("lens", LENSES)
def test_a_point_lies_in_an_image_where_eq_2_puts_it(
    pictured: PicturedCloud, payload: dict[str, Any], in_node: InNode, lens: str
) -> None:
    place = list(LENSES).index(lens)
    eye = camera(LENSES[lens], 0.3 * place)
    seen = np.flatnonzero(pictured.photos[place].seen)
    assert len(seen) > 20
    uv, depth = project(eye, pictured.points[seen])
    found = np.array(
        in_node(
            "return given.points.map((point) => pixelOf(given.photo, point));",
            photo=payload["photos"][place],
            points=pictured.points[seen].astype(float),
        )
    )
    assert np.abs(found[:, :2] - uv).max() < 1e-2 and np.abs(found[:, 2] - depth).max() < 1e-4


@pytest.mark.parametrize("place", range(3))
def test_a_place_in_an_image_finds_the_nearest_point_that_the_image_shows(
    pictured: PicturedCloud, payload: dict[str, Any], in_node: InNode, place: int
) -> None:
    places = np.random.default_rng(place).uniform([0, 0], [320, 120], (100, 2)).round(1)
    found = in_node(
        f"""{OPEN} const shown = (i) => i % 5 > 0;
            return given.places.map(([u, v]) => pointInPhoto(cloud, given.place, u, v, 12, shown));""",
        payload=payload, places=places, place=place,
    )  # fmt: skip
    xyz = relative(payload, in_node) + payload["origin"]
    uv, _ = project(camera(LENSES[list(LENSES)[place]], 0.3 * place), xyz.astype(np.float32))
    shown = pictured.photos[place].seen & (np.arange(900) % 5 > 0)
    for (u, v), pick in zip(places, found):
        gap = np.where(shown, np.hypot(uv[:, 0] - u, uv[:, 1] - v), np.inf)
        if pick < 0:
            assert gap.min() > 12 - 1e-2
        else:
            assert gap[pick] <= min(gap.min() + 1e-2, 12)
    assert sum(pick >= 0 for pick in found) > 10


def test_a_picture_of_a_place_leads_back_to_the_place(payload: dict[str, Any], in_node: InNode) -> None:
    xyz = relative(payload, in_node)[:50]
    found = in_node(
        f"""{OPEN} return given.xyz.map((point) => {{
              const at = onScreen(view, given.screen, point);
              return [at, inSpace(view, given.screen, ...at)]; }});""",
        payload=payload, view=VIEWS[1], screen=SCREEN, xyz=xyz,
    )  # fmt: skip
    assert np.allclose([back for _, back in found], xyz, atol=1e-6)
    assert np.allclose(np.array([at for at, _ in found]).T, on_screen(VIEWS[1], xyz), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("factor", [0.5, 1.7, 3.0])
def test_zooming_keeps_the_place_under_the_cursor(
    payload: dict[str, Any], in_node: InNode, factor: float
) -> None:
    place = relative(payload, in_node)[7]
    before, after, away = in_node(
        f"""{OPEN} const next = zoomed(view, given.factor, given.place, cloud.reach);
            const seenIn = (one) => onScreen(one, given.screen, given.place);
            return [seenIn(view), seenIn(next), next.away];""",
        payload=payload, view=VIEWS[0], screen=SCREEN, place=place, factor=factor,
    )  # fmt: skip
    assert away == pytest.approx(45 / factor)
    assert after[:2] == pytest.approx(before[:2], abs=1e-6) and after[2] == pytest.approx(before[2] / factor)


def test_zooming_ends_before_the_cloud_is_a_point_or_a_wall(payload: dict[str, Any], in_node: InNode) -> None:
    near, far, reach = in_node(
        f"""{OPEN} return [zoomed(view, 1e9, cloud.home, cloud.reach).away,
                          zoomed(view, 1e-9, cloud.home, cloud.reach).away, cloud.reach];""",
        payload=payload, view=VIEWS[0],
    )  # fmt: skip
    assert near == pytest.approx(0.02 * reach) and far == pytest.approx(20 * reach)


def test_what_is_at_the_targets_distance_follows_a_moving_hand(
    payload: dict[str, Any], in_node: InNode
) -> None:
    before, after = in_node(
        f"""{OPEN} const place = inSpace(view, given.screen, 30, 20, view.away);
            const next = panned(view, given.screen, 11, -7);
            return [onScreen(view, given.screen, place), onScreen(next, given.screen, place)];""",
        payload=payload, view=VIEWS[0], screen=SCREEN,
    )  # fmt: skip
    assert np.allclose(np.subtract(after, before), [11, -7, 0], atol=1e-6)


def test_the_box_of_a_point_never_leaves_the_window(in_node: InNode) -> None:
    rng = np.random.default_rng(0)
    rooms, sizes = rng.integers(300, 1500, (500, 2)), rng.integers(20, 280, (500, 2))
    cursors = (rng.random((500, 2)) * rooms).round()
    corners = np.array(
        in_node(
            "return given.cursors.map((cursor, k) => boxCorner(cursor, given.sizes[k], given.rooms[k]));",
            cursors=cursors,
            sizes=sizes,
            rooms=rooms,
        )
    )
    assert (corners >= 4).all() and (corners + sizes <= rooms - 4).all()
    # It covers the cursor only where the window is too small for anything else.
    covered = ((corners < cursors) & (cursors < corners + sizes)).all(axis=1)
    assert not covered[(rooms > 2 * sizes + 40).any(axis=1)].any()


def test_a_point_is_told_in_words(pictured: PicturedCloud, payload: dict[str, Any], in_node: InNode) -> None:
    words, truth, confidence = pictured.words, pictured.truth, pictured.confidence
    assert words is not None and truth is not None and confidence is not None and words.views is not None
    classes = {"names": NAMES, "ignore": 255}
    told = in_node(
        f"{OPEN} return Array.from({{ length: 900 }}, (_, i) => rowsOf(cloud, given.classes, i));",
        payload=payload, classes=classes,
    )  # fmt: skip
    seen = np.any([photo.seen for photo in pictured.photos], axis=0)
    for i, rows in enumerate(told):
        said = dict(rows)
        assert said["prediction"] == NAMES[pictured.prediction[i]]
        assert said["truth"] == ("not labelled" if truth[i] == 255 else NAMES[truth[i]])
        assert abs(float(said["confidence"].removesuffix(" %")) - 100 * confidence[i]) < 0.75
        metres = float(said["distance"].removesuffix(" m from the sensor"))
        assert abs(metres - np.linalg.norm(pictured.points[i])) < 0.06
        texts = ("none", "the image's caption alone", *(f"“{phrase}”" for phrase in words.phrases))
        assert said["text"] == texts[words.text[i]]
        assert ("votes" in said) == bool(words.views[i])
        if words.views[i]:
            images = "1 image" if words.views[i] == 1 else f"{words.views[i]} images"
            assert said["votes"] == f"{images}, 80 % for it"
        assert (said.get("image") == "none shows it") == (not seen[i])


def test_a_hidden_class_takes_the_points_with_it_that_are_of_no_other(
    pictured: PicturedCloud, payload: dict[str, Any], in_node: InNode
) -> None:
    shown = in_node(
        f"""{OPEN} const shown = showing(cloud, new Set([0, 2]));
            return Array.from({{ length: 900 }}, (_, i) => shown(i));""",
        payload=payload,
    )
    assert np.array_equal(shown, (pictured.prediction == 1) | (pictured.truth == 1))


def test_colours_say_right_and_wrong_sure_and_unsure(
    pictured: PicturedCloud, payload: dict[str, Any], in_node: InNode
) -> None:
    found = in_node(
        f"""{OPEN} const classes = [[1, 1, 1], [2, 2, 2], [3, 3, 3]];
            const palette = {{ quiet: [0, 0, 0], loud: [255, 255, 255], classes }};
            const of = (mode) => {{ const colour = colouring(mode, cloud, {{ ignore: 255 }}, palette);
              return Array.from({{ length: 900 }}, (_, i) => colour(i)?.[0] ?? -1); }};
            return ["error", "confidence", "truth", "prediction"].map(of);""",
        payload=payload,
    )
    error, confidence, truth, prediction = map(np.array, found)
    assert pictured.truth is not None and pictured.confidence is not None
    wrong = np.where(pictured.truth == pictured.prediction, 0, 255)
    assert np.array_equal(error, np.where(pictured.truth == 255, -1, wrong))
    assert np.abs(confidence - (2 * 255 * (1 - pictured.confidence)).clip(0, 255)).max() <= 2
    assert np.array_equal(truth, np.where(pictured.truth == 255, -1, pictured.truth.astype(int) + 1))
    assert np.array_equal(prediction, pictured.prediction + 1)
