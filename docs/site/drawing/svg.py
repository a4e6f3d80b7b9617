"""SVG in the style of docs/pipeline.svg: light paper of its own, so it is legible on a dark page, too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

INK, GREY, LINE, TEAL, AMBER, RED = "#171a1e", "#59626d", "#c3c9ce", "#00707a", "#b86e00", "#b3372f"
BLUE = "#41698a"

_STYLE = """
    text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans",
           Arial, sans-serif; font-size: 15px; fill: #171a1e; }
    .sub { font-size: 13px; fill: #59626d; }
    .bold { font-weight: 600; }
    .teal { fill: #00707a; } .amber { fill: #b86e00; } .red { fill: #b3372f; } .white { fill: #ffffff; }
    .middle { text-anchor: middle; } .end { text-anchor: end; }
    .panel { fill: #f3f5f5; }
    .box { fill: #ffffff; stroke: #c3c9ce; stroke-width: 1.2; }
    .ours { fill: #eaf5f6; stroke: #00707a; stroke-width: 1.6; }
    .axis { fill: none; stroke: #c3c9ce; stroke-width: 1.2; }
    .flow { fill: none; stroke: #39424c; stroke-width: 1.5; stroke-linejoin: round; }
    .learn { fill: none; stroke: #00707a; stroke-width: 1.6; stroke-dasharray: 5 4; stroke-linejoin: round; }
    .wire { fill: none; stroke: #39424c; stroke-width: 1.5; }
""".rstrip()

_TIPS = "".join(
    f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7.5" markerHeight="7.5" '
    'orient="auto-start-reverse"><path d="M0.6 0.8 7.2 4 0.6 7.2" fill="none" '
    f'stroke="{colour}" stroke-width="1.4" stroke-linecap="round" stroke-linejoin="round"/></marker>'
    for name, colour in (("tip", "#39424c"), ("tip-learn", TEAL))
)


def figure(height: int, title: str, description: str, *parts: str, width: int = 600) -> str:
    """The whole file. title, description: for those who hear the page."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-labelledby="title description">'
    )
    named = f"<title id='title'>{escape(title)}</title><desc id='description'>{escape(description)}</desc>"
    paper = f'<rect width="{width}" height="{height}" rx="12" fill="#fcfcfb"/>'
    lines = [head, f"  {named}", f"  <defs>{_TIPS}<style>{_STYLE}\n  </style></defs>", f"  {paper}"]
    return "\n".join([*lines, *(f"  {part}" for part in parts), "</svg>"]) + "\n"


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """Words at a baseline. kind: classes of the style, such as "sub middle"."""
    of_kind = f' class="{kind}"' if kind else ""
    return f'<text x="{_n(x)}" y="{_n(y)}"{of_kind}>{words}</text>'


def lines(x: float, y: float, words: Iterable[str], kind: str = "sub", step: float = 18) -> str:
    """Several lines of words."""
    return "".join(text(x, y + step * number, line, kind) for number, line in enumerate(words))


def box(x: float, y: float, w: float, h: float, name: str = "", under: str = "", kind: str = "box") -> str:
    """A box with its name, and a line under it."""
    middle, centre = x + w / 2, y + h / 2
    parts = [f'<rect class="{kind}" x="{_n(x)}" y="{_n(y)}" width="{_n(w)}" height="{_n(h)}" rx="6"/>']
    if name:
        parts.append(text(middle, centre + (-3 if under else 5), name, "bold middle"))
    if under:
        parts.append(text(middle, centre + 16, under, "sub middle"))
    return "".join(parts)


def panel(x: float, y: float, w: float, h: float) -> str:
    return f'<rect class="panel" x="{_n(x)}" y="{_n(y)}" width="{_n(w)}" height="{_n(h)}" rx="9"/>'


def arrow(*points: tuple[float, float], learn: bool = False) -> str:
    """A line through points, with a tip at its end. learn: dashed, for what is learnt and not computed."""
    kind, tip = ("learn", "tip-learn") if learn else ("flow", "tip")
    return f'<path class="{kind}" d="{_path(points)}" marker-end="url(#{tip})"/>'


def wire(*points: tuple[float, float], colour: str = "", width: float = 1.5) -> str:
    """A line without a tip."""
    own = f' style="stroke: {colour}; stroke-width: {width}"' if colour else ""
    return f'<path class="wire"{own} d="{_path(points)}"/>'


def curve(points: Sequence[tuple[float, float]], colour: str, width: float = 2, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<path d="{_path(points)}" fill="none" stroke="{colour}" stroke-width="{width}"{dashed}/>'


def rect(x: float, y: float, w: float, h: float, fill: str, opacity: float = 1, rx: float = 2) -> str:
    seen = f' opacity="{opacity}"' if opacity < 1 else ""
    return f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(w)}" height="{_n(h)}" rx="{rx}" fill="{fill}"{seen}/>'


def dots(points: Iterable[tuple[float, float]], colour: str, radius: float = 2) -> str:
    circles = "".join(f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{radius}"/>' for x, y in points)
    return f'<g fill="{colour}">{circles}</g>'


def bars(
    x: float, y: float, heights: Sequence[float], colours: Sequence[str], step: float = 26, wide: float = 18
) -> str:
    """Bars that stand on the line y, one each `step`."""
    return "".join(
        rect(x + step * number, y - height, wide, height, colour, rx=1.5)
        for number, (height, colour) in enumerate(zip(heights, colours))
    )


def _path(points: Iterable[tuple[float, float]]) -> str:
    return "M" + " ".join(f"{_n(x)} {_n(y)}" for x, y in points)


def _n(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
