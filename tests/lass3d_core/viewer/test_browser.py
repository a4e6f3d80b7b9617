"""The viewer in a real browser: mouse, fingers and keys. It needs chromium and the extra [browser]."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lass3d_core.viewer.clouds import PicturedCloud, viewer_of
from lass3d_core.viewer.html import viewer_html, viewer_style
from tests.lass3d_core.viewer.conftest import COLOURS, NAMES

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.slow

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="needs the [browser] extra")
    if CHROMIUM is None:
        pytest.skip("there is no chromium; install your system's package")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def address(pictured: PicturedCloud, tmp_path: Path) -> str:
    other = PicturedCloud("b", pictured.points[:1], pictured.prediction[:1])
    viewer = viewer_html(viewer_of([pictured, other], NAMES, COLOURS))
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    style = ":root { --paper: #fff; --ink: #000; --rule: #ccc; --accent: #00707a; } " + viewer_style()
    path = tmp_path / "page.html"
    path.write_text(f"<!DOCTYPE html><html lang=en><head>{head}<style>{style}</style></head><body>{viewer}")
    return path.as_uri()


class Page:
    """A page with what went wrong on it."""

    def __init__(self, browser: Any, address: str, **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda said: self.problems.append(said.text))
        self.page.on("request", lambda one: one.url in (address,) or self.problems.append(one.url[:80]))
        self.page.goto(address)
        self.page.locator(".spoken:not(:empty)").wait_for(state="attached")  # the first cloud is unpacked
        self.settle()

    def settle(self) -> None:
        """Wait until what was asked for is drawn."""
        self.page.wait_for_timeout(300)

    @property
    def canvas(self) -> Any:
        return self.page.locator(".panels canvas:visible").first

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A place in the window, by shares of the canvas."""
        box = self.canvas.bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def pixels(self) -> np.ndarray:
        """What the canvas shows, (H,W,4) uint8; alpha is 0 where no point is drawn."""
        picture = self.canvas.evaluate("canvas => canvas.toDataURL()").partition(",")[2]
        return np.asarray(Image.open(BytesIO(base64.b64decode(picture))).convert("RGBA"))

    def place_of_a_point(self) -> tuple[float, float]:
        """A place in the window where a point is drawn, near the middle of the canvas."""
        shown = self.pixels()[..., 3] > 0
        rows, columns = np.nonzero(shown)
        height, width = shown.shape
        best = np.hypot(rows - height / 2, columns - width / 2).argmin()
        return self.at((columns[best] + 0.5) / width, (rows[best] + 0.5) / height)

    def said(self) -> str:
        return str(self.page.locator(".spoken").text_content())


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Page]:
    opened = Page(browser, address, viewport={"width": 900, "height": 700})
    yield opened
    assert [problem for problem in opened.problems if not problem.startswith("data:image/")] == []
    opened.context.close()


def test_a_point_under_the_cursor_is_told_and_a_click_keeps_it(page: Page) -> None:
    where = page.place_of_a_point()
    page.page.mouse.move(*where)
    tip = page.page.locator(".tip")
    told = tip.inner_text()
    for words in ("prediction", "truth", "confidence", "m from the sensor", "text"):
        assert words in told
    page.page.mouse.click(*where)
    assert page.said().startswith("Picked: prediction ")
    assert " ".join(page.page.locator(".picked dl").inner_text().split()) == " ".join(told.split())
    assert page.page.locator(".panels .ring").first.is_visible()
    page.page.keyboard.press("Escape")
    assert page.said() == "No point is picked." and not page.page.locator(".picked dl div").count()


def test_the_box_stays_in_the_window_at_every_place(page: Page) -> None:
    page.page.set_viewport_size({"width": 420, "height": 500})
    page.settle()
    page.canvas.scroll_into_view_if_needed()
    seen = 0
    for share in np.linspace(0.02, 0.98, 25):
        page.page.mouse.move(*page.at(share, share))
        box = page.page.locator(".tip").bounding_box()
        if box is None:
            continue
        seen += 1
        assert box["x"] >= 0 and box["y"] >= 0
        assert box["x"] + box["width"] <= 420 and box["y"] + box["height"] <= 500
    assert seen
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 420


def test_dragging_turns_and_with_shift_or_the_right_button_it_moves(page: Page) -> None:
    def drag(button: str = "left") -> np.ndarray:
        page.page.mouse.move(*page.at(0.5, 0.5))
        page.page.mouse.down(button=button)
        page.page.mouse.move(*page.at(0.6, 0.55), steps=4)
        page.page.mouse.up(button=button)
        page.settle()
        return page.pixels()

    first = page.pixels()
    turned = drag()
    page.page.locator("[data-do=reset]").click()
    page.settle()
    assert np.array_equal(page.pixels(), first) and not np.array_equal(turned, first)
    moved = drag("right")
    page.page.locator("[data-do=reset]").click()
    page.page.keyboard.down("Shift")
    assert np.array_equal(drag(), moved) and not np.array_equal(moved, turned)
    page.page.keyboard.up("Shift")
    assert page.said() == "No point is picked."  # a drag is no click


def test_the_wheel_zooms_to_the_cursor_once_the_canvas_was_clicked(page: Page) -> None:
    where = page.place_of_a_point()
    page.page.mouse.move(*where)
    first, told = page.pixels(), page.page.locator(".tip").inner_text()
    page.page.mouse.wheel(0, -300)
    page.settle()
    assert np.array_equal(page.pixels(), first)
    page.page.evaluate("scrollTo(0, 0)")
    page.page.mouse.click(*where)
    for _ in range(4):
        page.page.mouse.wheel(0, -300)
        page.settle()
    assert not np.array_equal(page.pixels(), first)
    page.page.mouse.move(where[0] + 0.5, where[1])
    assert page.page.locator(".tip").inner_text() == told


def test_keys_move_turn_zoom_and_pick(page: Page) -> None:
    page.canvas.focus()
    pictures = [page.pixels()]
    for key in ("ArrowLeft", "Shift+ArrowLeft", "+", "ArrowUp"):
        page.page.keyboard.press(key)
        page.settle()
        pictures.append(page.pixels())
        assert not np.array_equal(pictures[-1], pictures[-2])
    page.page.keyboard.press("r")
    page.settle()
    assert np.array_equal(page.pixels(), pictures[0])
    page.page.keyboard.press("Enter")
    assert page.said().startswith("Picked: prediction ")
    assert page.page.locator(".panels .cross").first.is_visible()


def test_a_pick_is_marked_in_the_image_and_the_image_finds_it_again(page: Page) -> None:
    frame = page.page.locator(".photo .frame")
    box = frame.bounding_box()
    page.page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    said = page.said()
    assert said.startswith("Picked: ") and "none shows it" not in said
    ring = page.page.locator(".photo .ring").bounding_box()
    middle = ring["x"] + ring["width"] / 2, ring["y"] + ring["height"] / 2
    assert abs(middle[0] - box["x"] - 0.5 * box["width"]) < 13
    page.page.keyboard.press("Escape")
    page.page.mouse.click(*middle)
    assert page.said() == said
    page.page.get_by_role("button", name="fisheye").click()
    assert "fisheye" in page.page.locator(".photo img").get_attribute("alt")
    page.page.locator(".dots").check()
    assert page.page.locator(".photo canvas").is_visible()


def test_the_modes_and_the_legend_change_what_is_shown(page: Page) -> None:
    pictures = {}
    for mode in ("prediction", "truth", "error", "confidence", "words"):
        page.page.locator(f".modes [data-mode={mode}]").click()
        page.settle()
        pictures[mode] = page.pixels().tobytes()
        assert page.page.locator(".panels canvas:visible").count() == 1
    assert len(set(pictures.values())) == 5
    page.page.locator(".modes [data-mode=all]").click()
    assert page.page.locator(".panels canvas:visible").count() == 5
    page.page.locator(".modes [data-mode=prediction]").click()
    page.page.locator("[data-do=none]").click()
    page.settle()
    assert not page.pixels().any()
    page.page.get_by_role("button", name="lamp").click()
    page.settle()
    assert page.pixels().any()
    page.page.locator("[data-do=every]").click()
    page.settle()
    assert page.pixels().tobytes() == pictures["prediction"]


def test_full_screen_fills_the_window_and_escape_leaves_it(page: Page) -> None:
    page.page.locator("[data-do=full]").click()
    page.settle()
    box = page.page.locator(".viewer").bounding_box()
    assert (box["width"], box["height"]) == (900, 700)
    assert page.canvas.bounding_box()["height"] > 350
    page.page.locator("[data-do=full]").click()
    page.settle()
    assert "full" not in page.page.locator(".viewer").get_attribute("class").split()


def test_another_cloud_is_opened_without_what_it_lacks(page: Page) -> None:
    page.page.locator(".picker button").nth(1).click()
    page.settle()
    assert page.page.locator(".photo .none").is_visible()
    page.canvas.focus()
    page.page.keyboard.press("Enter")
    assert re.fullmatch(r"Picked: prediction \S+, distance [\d.]+ m from the sensor\.", page.said())


def test_a_browser_that_cannot_unpack_says_so(browser: Any, address: str) -> None:
    old = browser.new_context().new_page()
    old.add_init_script("delete window.DecompressionStream")
    old.goto(address)
    assert "it lacks DecompressionStream" in old.locator(".sorry:visible").inner_text()
    old.context.close()


def test_a_finger_turns_two_zoom_and_a_tap_picks(browser: Any, address: str) -> None:
    phone = Page(browser, address, viewport={"width": 420, "height": 800}, has_touch=True, is_mobile=True)
    phone.canvas.scroll_into_view_if_needed()
    phone.settle()
    session, first = phone.context.new_cdp_session(phone.page), phone.pixels()

    def touch(kind: str, *fingers: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(fingers)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    phone.page.touchscreen.tap(*phone.place_of_a_point())
    phone.settle()
    assert phone.said().startswith("Picked: prediction ") and phone.page.locator(".tip").is_visible()
    touch("touchStart", phone.at(0.3, 0.5))
    for step in range(1, 6):
        touch("touchMove", phone.at(0.3 + 0.08 * step, 0.5))
    touch("touchEnd")
    phone.settle()
    turned = phone.pixels()
    assert not np.array_equal(turned, first) and phone.page.locator(".tip").is_hidden()
    touch("touchStart", phone.at(0.4, 0.5), phone.at(0.6, 0.5))
    for step in range(1, 6):
        touch("touchMove", phone.at(0.4 - 0.05 * step, 0.5), phone.at(0.6 + 0.05 * step, 0.5))
    touch("touchEnd")
    phone.settle()
    # Twice the gap: points are larger and fewer of them are in the picture.
    assert not np.array_equal(phone.pixels(), turned)
    assert phone.problems == [] or all(problem.startswith("data:image/") for problem in phone.problems)
    phone.context.close()
