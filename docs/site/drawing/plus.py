"""The figures of LASS3D+. Bars and curves follow the formulas of the page, on numbers of an example."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from drawing.paper import CLASSES
from drawing.svg import (
    AMBER,
    BLUE,
    GREY,
    LINE,
    RED,
    TEAL,
    arrow,
    bars,
    box,
    curve,
    dots,
    figure,
    lines,
    panel,
    text,
    wire,
)

TEACHER = (0.02, 0.62, 0.30, 0.02, 0.04)
PRIOR = (0.40, 0.20, 0.05, 0.03, 0.32)
PHRASE = (0.10, 0.06, 0.72, 0.01, 0.11)  # of "delivery van" in the example
TEMPERATURE = 2.0


def product() -> str:
    """Teacher to the power 1/T, times the phrase's ratio: the pseudo-label changes from car to truck."""
    tempered = _shares([one ** (1 / TEMPERATURE) for one in TEACHER])
    ratio = [phrase / prior for phrase, prior in zip(PHRASE, PRIOR)]
    belief = _shares([one * gain for one, gain in zip(tempered, ratio)])
    high = [math.log2(one) for one in ratio]
    shown = (
        ("teacher", "by shape", [108 * one for one in TEACHER], BLUE),
        ("tempered", "T = 2", [108 * one for one in tempered], BLUE),
        ("belief", "their product", [108 * one for one in belief], TEAL),
    )
    parts = []
    for (name, under, heights, colour), x in zip(shown, (16, 160, 448)):
        best = max(range(5), key=lambda n: heights[n])
        parts += [
            *_plot(x, name, under),
            bars(x + 12, 170, heights, [colour if n == best else "#a9bcc9" for n in range(5)], 22, 15),
        ]
        parts.append(text(x + 68, 234, f"most: {CLASSES[best]}", "sub middle"))
    parts += _plot(304, "“delivery van”", "ratio, as log2", base=124)
    parts += [
        bars(
            316 + 22 * n,
            124 if one >= 0 else 124 + 16 * -one,
            [16 * abs(one)],
            [TEAL if one > 0 else RED],
            22,
            15,
        )
        for n, one in enumerate(high)
    ]
    parts.append(text(372, 234, "says: truck", "sub middle"))
    return figure(
        248,
        "Teacher times phrase",
        "The teacher believes in a car. The phrase says truck. With a tempered teacher the product says so.",
        *parts,
    )


def _plot(x: float, name: str, under: str, base: float = 170) -> list[str]:
    names = [
        text(x + 22 + 22 * n, 186, word, "sub end").replace(
            "<text", f'<text transform="rotate(-45 {x + 22 + 22 * n} 186)"'
        )
        for n, word in enumerate(CLASSES)
    ]
    return [
        panel(x, 14, 136, 226),
        text(x + 10, 36, name, "bold"),
        text(x + 10, 54, under, "sub"),
        wire((x + 8, base), (x + 128, base), colour=LINE),
        *names,
    ]


def votes() -> str:
    """P(class | phrase) is a mean of votes."""
    language = _shares([0.3 * prior + 0.7 * named for prior, named in zip(PRIOR, (0, 0, 1, 0, 0))])
    scenes = ((90, (0.02, 0.10, 0.85, 0.0, 0.03)), (10, (0.0, 0.6, 0.4, 0.0, 0.0)))
    similar = (0.05, 0.25, 0.60, 0.02, 0.08)
    voters: list[tuple[str, str, float, Sequence[float]]] = [("language", "its words name", 1.0, language)]
    voters += [
        (f"scene {letter}", f"{count} points", count / (count + 30), shares)
        for letter, (count, shares) in zip("AB", scenes)
    ]
    voters.append(("similar phrases", "“a lorry”", 1.0, similar))
    total = sum(weight for *_, weight, _ in voters)
    mean = [sum(weight * shares[n] for *_, weight, shares in voters) / total for n in range(5)]
    parts = []
    for number, (name, under, weight, shares) in enumerate(voters):
        y = 16 + 62 * number
        parts += [
            box(16, y, 150, 50, name, under),
            text(
                182,
                y + 31,
                f"{weight:.2g} vote{'' if weight == 1 else 's'}" if weight == 1 else f"{weight:.2f} vote",
                "sub",
            ),
            bars(252, y + 46, [40 * one for one in shares], [BLUE] * 5, 16, 12),
            wire((248, y + 46), (334, y + 46), colour=LINE),
            arrow((340, y + 25), (394, 84 + 38 * number)),
        ]
    parts += [
        panel(398, 48, 186, 186),
        text(410, 72, "P(class | phrase)", "bold"),
        bars(416, 190, [130 * one for one in mean], [TEAL] * 5, 32, 24),
        wire((410, 190), (574, 190), colour=LINE),
        *(
            text(430 + 32 * n, 206, word, "sub end").replace(
                "<text", f'<text transform="rotate(-40 {430 + 32 * n} 206)"'
            )
            for n, word in enumerate(CLASSES)
        ),
    ]
    return figure(
        274,
        "The votes on what a phrase means",
        "The language, every labelled scene and the counts of similar phrases vote. Their mean counts.",
        *parts,
    )


def trust() -> str:
    """log(1 + t (ratio - 1)) over log ratio, to scale."""
    left, middle, unit = 60.0, 150.0, 18.0
    at = [-6 + 0.1 * n for n in range(121)]
    shown = ((1.0, TEAL), (0.8, BLUE), (0.5, AMBER), (0.0, GREY))
    parts = [
        wire((left, 24), (left, 258), (left + 12 * 24, 258), colour=LINE),
        wire((left, middle), (left + 12 * 24, middle), colour=LINE),
    ]
    for share, colour in shown:
        points = [(left + 24 * (x + 6), middle - unit * math.log(1 + share * (math.exp(x) - 1))) for x in at]
        parts.append(curve(points, colour, 2.2))
    parts += [
        *(text(left + 24 * (x + 6), 274, f"{x:+d}".replace("-", "−"), "sub middle") for x in (-4, -2, 2, 4)),
        *(
            text(left - 6, middle - unit * y + 4, f"{y:+d}".replace("-", "−"), "sub end")
            for y in (-6, -3, 3, 6)
        ),
        text(left + 24 * 6, 296, "what a phrase says of a class, nats", "sub middle"),
        text(0, 0, "what counts", "sub middle").replace(
            "<text", '<text transform="translate(20 150) rotate(-90)"'
        ),
        text(356, 46, "t = 1", "bold teal"),
        text(356, 64, "every phrase is right", "sub"),
        text(356, 98, "t = 0.8", "bold").replace("<text", f'<text style="fill: {BLUE}"'),
        text(356, 132, "t = 0.5", "bold amber"),
        text(356, 166, "t = 0", "bold").replace("<text", f'<text style="fill: {GREY}"'),
        text(356, 184, "phrases say nothing", "sub"),
        lines(
            356,
            222,
            ("However strong a phrase speaks", "against a class, a chance of", "1 − t is left for it."),
        ),
    ]
    return figure(
        312,
        "Trust in phrases",
        "The evidence that counts, for four shares of right phrases: all of it for 1, none for 0.",
        *parts,
    )


def panorama() -> str:
    """What cameras saw of several scans, turned until it fills the circle."""
    colours = (TEAL, BLUE, AMBER, RED)
    parts = [text(95, 34, "unlabelled scans", "bold middle")]
    for number, colour in enumerate(colours):
        x, y = 56 + 80 * (number % 2), 84 + 84 * (number // 2)
        parts += [
            f'<circle cx="{x}" cy="{y}" r="32" fill="#eceff0"/>',
            _fan(x, y, 32, -45, 45, colour),
            dots([(x, y)], "#39424c", 2.5),
        ]
    parts += [
        arrow((196, 126), (276, 126)),
        text(236, 116, "turn", "sub middle"),
        text(372, 34, "one slot of the batch", "bold middle"),
        *(_fan(372, 130, 78, -45 + 90 * n, 45 + 90 * n, colour) for n, colour in enumerate(colours)),
        dots([(372, 130)], "#39424c", 3.5),
        lines(470, 110, ("as many points", "as a scan, nearly", "all with a text")),
        text(16, 222, "coloured: seen by the camera", "sub"),
    ]
    return figure(
        238,
        "A panorama",
        "Four scans of which a front camera saw a quarter each. Turned about the sensor, the quarters make "
        "one cloud whose points nearly all have a text.",
        *parts,
    )


def _fan(x: float, y: float, radius: float, start: float, stop: float, colour: str) -> str:
    ends = [
        (x + radius * math.sin(math.radians(a)), y - radius * math.cos(math.radians(a)))
        for a in (start, stop)
    ]
    (x1, y1), (x2, y2) = ends
    return (
        f'<path d="M{x:.1f} {y:.1f}L{x1:.1f} {y1:.1f}A{radius} {radius} 0 0 1 {x2:.1f} {y2:.1f}z" '
        f'fill="{colour}" opacity="0.75"/>'
    )


def _shares(values: Sequence[float]) -> list[float]:
    total = sum(values)
    return [one / total for one in values]


FIGURES: dict[str, Callable[[], str]] = {
    "plus-product": product,
    "plus-votes": votes,
    "plus-trust": trust,
    "plus-panorama": panorama,
}
