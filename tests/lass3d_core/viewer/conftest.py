"""A cloud of which everything is known, and the viewer's functions in node."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from importlib import resources
from typing import Any

import numpy as np
import pytest

from lass3d_core.geometry.projection import pixels_in_image, project, rigid
from lass3d_core.records import Camera, Distortion
from lass3d_core.viewer.clouds import FIRST_PHRASE, PicturedCloud, PointWords
from lass3d_core.viewer.html import SCRIPTS
from lass3d_core.viewer.photos import Photo

NAMES = ("ground", "<b>wall</b>", "lamp")
COLOURS = ((90, 90, 90), (200, 120, 40), (250, 240, 80))
LENSES = {
    "pinhole": None,
    "opencv": Distortion("opencv", (-0.11, 0.02, 0.001, -0.002, 0.003)),
    "fisheye": Distortion("fisheye", (-0.02, 0.004, -0.001, 0.0002)),
}
AHEAD = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])  # camera axes of a camera that looks along x

InNode = Callable[..., Any]


@pytest.fixture
def in_node() -> InNode:
    """in_node(body, **given): what the JavaScript `body` returns. It sees the viewer's functions too."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed; it runs the page's script without a browser")
    page = resources.files("lass3d_core.viewer").joinpath("page")
    functions = "\n".join(page.joinpath(name).read_text("utf-8") for name in SCRIPTS[:-1])

    def run(body: str, **given: Any) -> Any:
        program = (
            f'"use strict";\n{functions}\nconst given = JSON.parse(require("fs").readFileSync(0, "utf8"));\n'
            f"(async () => {{ {body} }})().then((found) => console.log(JSON.stringify(found)));"
        )
        text = json.dumps(given, default=lambda array: array.tolist())
        done = subprocess.run([node, "-e", program], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def camera(lens: Distortion | None = None, shift: float = 0.0) -> Camera:
    """A camera at the sensor that looks along x. K has a skew, so that no number may be forgotten."""
    K = np.array([[300.0, 1.5, 161], [0, 290, 60], [0, 0, 1]])
    return Camera(K, rigid(AHEAD, np.array([shift, 0.1, -0.05])), (120, 320), lens)


@pytest.fixture
def pictured() -> PicturedCloud:
    """900 points around a sensor, with three cameras of three lenses; far ones are hidden from all."""
    rng = np.random.default_rng(3)
    points = rng.uniform([-20, -20, -2], [20, 20, 3], (900, 3)).astype(np.float32)
    photos = []
    for place, (name, lens) in enumerate(LENSES.items()):
        eye = camera(lens, 0.3 * place)
        uv, depth = project(eye, points)
        inside, _, _ = pixels_in_image(uv, depth, eye.size_hw, 1.0)
        seen = np.zeros(len(points), bool)
        seen[inside[depth[inside] < 15]] = True
        photos.append(Photo(name, rng.integers(0, 256, (120, 320, 3), np.uint8), eye, seen))
    voted = rng.random(900) < 0.3
    words = PointWords(
        text=np.where(voted, FIRST_PHRASE + rng.integers(0, 2, 900), rng.integers(0, 2, 900)).astype(
            np.uint16
        ),
        phrases=("a </script> wall", "a lamp"),
        views=np.where(voted, rng.integers(1, 9, 900), 0).astype(np.uint8),
        share=np.where(voted, 204, 0).astype(np.uint8),
    )
    truth = rng.integers(0, 3, 900).astype(np.uint8)
    truth[:50] = 255
    return PicturedCloud(
        name="00/000001",
        points=points,
        prediction=rng.integers(0, 3, 900).astype(np.uint8),
        confidence=rng.random(900).astype(np.float32),
        truth=truth,
        words=words,
        photos=tuple(photos),
    )
