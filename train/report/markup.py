"""HTML and SVG that is escaped by construction: text becomes markup only by passing through here."""

from __future__ import annotations

import json
from html import escape
from typing import Any

_VOID = frozenset({"img", "br", "hr", "input", "meta", "line", "rect", "circle", "path", "polyline"})


class Markup(str):
    """Text that is HTML already. Any other string is escaped where it is put into an element."""

    __slots__ = ()


def element(name: str, /, *children: str | None, **attributes: str | int | float | bool | None) -> Markup:
    """`<name attributes>children</name>`. Children are escaped unless they are Markup, attributes always.

    A trailing underscore of an attribute's name is dropped (`class_`), others become hyphens (`aria_label`).
    None and False leave the attribute out, True writes it as XML asks (`hidden="hidden"`).
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID and not children:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: str | None) -> Markup:
    """The children one after the other, escaped unless they are Markup; None is nothing."""
    return Markup("".join(c if isinstance(c, Markup) else escape(c) for c in children if c is not None))


def json_script(values: Any, **attributes: str) -> Markup:
    """`values` as JSON inside a script element that no text in it can close."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return element("script", Markup(text), type="application/json", **attributes)


def _attribute(key: str, value: str | int | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.removesuffix("_").replace("_", "-")
    return f' {name}="{name if value is True else escape(str(value))}"'
