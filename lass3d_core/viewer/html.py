"""The viewer as HTML. A page puts `viewer_style` into its head and `viewer_html` where the clouds belong."""

from __future__ import annotations

from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lass3d_core.viewer.clouds import Viewer

SCRIPTS = (
    "unpacking.js", "space.js", "picking.js", "projecting.js", "telling.js", "colouring.js", "drawing.js",
    "gestures.js", "photo.js", "stage.js", "viewer.js",
)  # fmt: skip
"""In the order in which the page needs them. All but the last only define functions."""


def viewer_html(viewer: Viewer) -> Markup:
    """The viewer with its data and its script. A page holds one."""
    return Markup(_environment().get_template("viewer.html").render(viewer=viewer, script=script()))


@cache
def viewer_style() -> Markup:
    """The rules of viewer.css. Its colours and fonts are those of the page, by the names of its variables."""
    return Markup(_text("viewer.css"))


@cache
def script() -> Markup:
    """All scripts as one, whose names no other script sees."""
    return Markup('(() => {\n"use strict";\n' + "\n".join(map(_text, SCRIPTS)) + "})();\n")


def _text(name: str) -> str:
    return resources.files("lass3d_core.viewer").joinpath("page", name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("lass3d_core.viewer", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    made.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    made.filters["grouped"] = lambda number: f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return made
