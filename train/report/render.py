"""Fill jinja2 templates: HTML pages and SVG drawings, with every text in them escaped."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lass3d_core.viewer.html import viewer_style
from train.report.words import SPLIT_NAMES, grouped, percent, plural, scans_of


def render(template: str, /, package: str = "train.report", **values: Any) -> str:
    """Fill `template` from the folder `templates` of `package`."""
    return environment(package).get_template(template).render(**values)


@cache
def environment(package: str = "train.report") -> Environment:
    """Templates of a package, with the project's filters. A name that is not given is an error."""
    made = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    made.filters |= {"percent": percent, "plural": plural, "grouped": grouped}
    made.globals |= {"split_names": SPLIT_NAMES, "verbatim": _verbatim, "scans_of": scans_of}
    made.globals["viewer_style"] = viewer_style
    return made


def _verbatim(name: str) -> Markup:
    """Read a style sheet or a script of this folder, to be put into the page as it is."""
    return Markup(resources.files("train.report").joinpath(name).read_text(encoding="utf-8"))
