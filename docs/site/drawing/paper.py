"""The figures of the paper's own method. What is drawn to scale is computed from the method's defaults."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

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
    rect,
    text,
    wire,
)

CLASSES = ("road", "car", "truck", "person", "tree")


def problem() -> str:
    """Few labels, many scans; words in training, points alone afterwards."""
    chance = random.Random(3)
    scans = []
    for number in range(15):
        x, y = 30 + number % 5 * 40, 52 + number // 5 * 40
        labelled = number in (1, 11)
        spots = [(x + chance.uniform(4, 28), y + chance.uniform(4, 28)) for _ in range(14)]
        scans.append(
            f'<rect class="{"ours" if labelled else "box"}" x="{x}" y="{y}" width="32" height="32" rx="4"/>'
        )
        if labelled:
            scans += [dots(spots[start::3], colour, 2.2) for start, colour in enumerate((TEAL, AMBER, RED))]
        else:
            scans.append(dots(spots, "#9aa3ab"))
    return figure(
        214,
        "What is given and what is wanted",
        "Fifteen scans, two of them labelled, with images. In training, words from the images help. "
        "The segmenter that is kept reads points alone.",
        panel(16, 14, 224, 186),
        text(30, 38, "scans: few have labels", "sub"),
        *scans,
        text(30, 190, "teal frame: labelled", "sub teal"),
        panel(258, 14, 138, 186),
        text(327, 38, "in training alone", "sub middle"),
        box(272, 52, 110, 58, "images", "of each scan"),
        arrow((327, 110), (327, 130)),
        box(272, 134, 110, 52, "“a red car”", "words"),
        panel(414, 14, 170, 186),
        text(499, 38, "what is kept", "sub middle"),
        box(430, 78, 138, 64, "segmenter", "reads points alone", "ours"),
        arrow((240, 82), (268, 82)),
        arrow((396, 110), (426, 110)),
        text(499, 170, "a class per point", "sub middle"),
    )


def teacher() -> str:
    """Eq. (1): the student jumps, the teacher follows. Computed with alpha 0.93."""
    chance, student, average = random.Random(7), 0.0, 0.0
    walk: list[tuple[float, float]] = []
    for step in range(110):
        student += 0.02 * (1 - student) + chance.gauss(0, 0.045)
        weight = min(0.93, 1 - 1 / (step + 1))
        average = weight * average + (1 - weight) * student
        walk.append((student, average))
    at = [(50 + 3.6 * step, 178 - 110 * own, 178 - 110 * mean) for step, (own, mean) in enumerate(walk)]
    return figure(
        222,
        "A weight of the student and of the teacher over the steps",
        "The student's weight jumps from step to step. The teacher's, its moving average, follows smoothly.",
        wire((44, 24), (44, 190), (450, 190), colour=LINE),
        curve([(x, own) for x, own, _ in at], BLUE, 1.3),
        curve([(x, mean) for x, _, mean in at], TEAL, 2.6),
        text(460, at[-1][1] - 4, "student", "bold"),
        text(460, at[-1][2] + 16, "teacher", "bold teal"),
        text(36, 108, "a weight", "sub middle").replace("<text", '<text transform="rotate(-90 30 108)"'),
        text(247, 212, "steps", "sub middle"),
    )


def pairs() -> str:
    """Eq. (2): a point, its pixel, the mask there, the phrase."""
    cloud = [
        (58, 150),
        (72, 146),
        (86, 143),
        (100, 141),
        (64, 132),
        (80, 128),
        (96, 126),
        (74, 114),
        (90, 112),
    ]
    ground = [(36 + 13 * n, 172 + (n % 3) * 5) for n in range(9)]
    rows = (("image", "0", "“a street with a red car”"), ("entity", "2", "“a red car”"))
    return figure(
        262,
        "From a point to a phrase",
        "A point of the scan is projected into the image. Its texts are the image's caption and the "
        "phrase of the mask at its pixel.",
        panel(16, 14, 150, 186),
        text(30, 38, "scan", "sub"),
        dots(ground, "#9aa3ab", 2.4),
        dots(cloud, BLUE, 2.6),
        dots([(86, 128)], RED, 4.5),
        text(91, 100, "(x, y, z)", "sub middle"),
        text(222, 100, "K M", "bold middle"),
        text(222, 152, "visible?", "sub middle"),
        panel(258, 14, 168, 186),
        text(272, 38, "image", "sub"),
        rect(272, 50, 140, 96, "#dfe8ec"),
        rect(272, 106, 140, 40, "#c9cdd1"),
        '<path d="M290 128V112l12-4 8-14h34l10 14 14 5v15z" fill="#b3372f" opacity="0.75"/>',
        '<path d="M286 132V108l14-5 8-13h40l10 13 14 6v23z" fill="none" stroke="#00707a" stroke-width="1.6" '
        'stroke-dasharray="4 3"/>',
        arrow((92, 128), (150, 128), (282, 116)),
        dots([(288, 115)], RED, 4.5),
        text(342, 168, "pixel (u, v) in a mask", "sub middle"),
        text(342, 186, "of a detector", "sub middle"),
        panel(444, 14, 140, 186),
        text(458, 38, "texts", "sub"),
        *(
            box(458, 52 + 74 * n, 112, 58, name, f"row {row}", "ours" if n else "box")
            for n, (name, row, _) in enumerate(rows)
        ),
        arrow((412, 80), (454, 80)),
        arrow((392, 128), (430, 152), (454, 152)),
        *(text(30, 224 + 22 * n, f"{name}: {words}", "sub") for n, (name, _, words) in enumerate(rows)),
        text(570, 224, "the shard stores the row alone,", "sub end"),
        text(570, 246, "never the embedding", "sub end"),
    )


def safm() -> str:
    """Sec. 3.2: up, attention over the caption's rows, plus the phrase's row, down, residual."""
    return figure(
        300,
        "Semantic-aware adaptive fusion",
        "The 3D features are mapped up to the text dimension, attend to the rows of the caption, get the "
        "row of the phrase added, are mapped down and added to the features they started from.",
        text(22, 141, "f", "bold"),
        text(22, 160, "of points", "sub"),
        arrow((78, 136), (98, 136)),
        box(102, 110, 80, 52, "MLP up", "to D"),
        arrow((182, 136), (212, 136)),
        text(197, 128, "g", "sub middle"),
        box(216, 110, 108, 52, "g + attention", "g asks", "ours"),
        box(196, 22, 148, 50, "caption’s rows", "keys and values"),
        arrow((270, 72), (270, 106)),
        arrow((324, 136), (352, 136)),
        '<circle cx="366" cy="136" r="12" fill="#ffffff" stroke="#39424c" stroke-width="1.5"/>',
        text(366, 141.5, "+", "bold middle"),
        box(366 - 62, 200, 124, 50, "phrase’s row", "one for each point"),
        arrow((366, 200), (366, 152)),
        arrow((378, 136), (406, 136)),
        box(410, 110, 86, 52, "MLP down", "to F"),
        arrow((496, 136), (514, 136)),
        '<circle cx="528" cy="136" r="12" fill="#ffffff" stroke="#39424c" stroke-width="1.5"/>',
        text(528, 141.5, "+", "bold middle"),
        arrow((540, 136), (560, 136)),
        text(564, 132, "f", "bold teal"),
        text(571, 139, "t", "sub teal"),
        arrow((48, 168), (48, 274), (528, 274), (528, 152)),
        text(180, 266, "residual: training starts from f", "sub middle"),
    )


def adapter() -> str:
    """Eq. (3): whose gradient goes where."""
    return figure(
        236,
        "Distillation into the fusion adapter",
        "Student: backbone and SAFM give features with text. Teacher: averaged backbone and adapter give "
        "others without. A divergence pulls the adapter's output to the student's. Its gradient reaches no "
        "more than the adapter.",
        panel(16, 14, 568, 88),
        text(30, 36, "student, with text", "sub"),
        box(30, 44, 124, 46, "backbone"),
        arrow((154, 67), (196, 67)),
        box(200, 44, 124, 46, "SAFM"),
        arrow((324, 67), (402, 67)),
        text(456, 72, "f with text", "bold middle"),
        panel(16, 134, 568, 88),
        text(30, 156, "teacher, points alone", "sub"),
        box(30, 164, 124, 46, "backbone"),
        arrow((154, 187), (196, 187)),
        box(200, 164, 124, 46, "adapter", kind="ours"),
        arrow((324, 187), (402, 187)),
        text(456, 192, "f adapted", "bold middle"),
        arrow((456, 86), (456, 172), learn=True),
        text(466, 122, "KL, Eq. (3)", "sub teal"),
        arrow((400, 168), (330, 168), learn=True),
        text(366, 160, "gradient", "sub teal middle"),
        wire((176, 178), (168, 196), colour=RED, width=2),
        wire((182, 178), (174, 196), colour=RED, width=2),
        text(176, 122, "// no gradient into the backbone", "sub red middle"),
    )


def reliable() -> str:
    """Eq. (4), to scale with the defaults: confidence at least 0.9, variance at most 0.05."""
    tau_r, apart = 0.9, 2 * math.sqrt(0.05)
    left, low, side = 70.0, 234.0, 200.0
    x = left + side * tau_r
    return figure(
        282,
        "Which points are reliable",
        "The plane of the teacher's and the student's probability of a class. Reliable: teacher at least "
        "0.9, and the two at most 0.447 apart.",
        rect(left, low - side, side, side, "#ffffff", rx=0),
        f'<path d="M{x} {low - side}H{left + side}V{low - side * (1 - apart):.1f}L{x} '
        f'{low - side * (tau_r - apart):.1f}z" fill="{TEAL}" opacity="0.85"/>',
        wire((left, low - side), (left, low), (left + side, low), colour=LINE),
        curve([(x, low), (x, low - side)], GREY, 1.2, "4 3"),
        curve([(left + side * apart, low), (left + side, low - side * (1 - apart))], GREY, 1.2, "4 3"),
        text(x, low + 18, "0.9", "sub middle"),
        text(left, low + 18, "0", "sub middle"),
        text(left + side + 6, low + 18, "1", "sub middle"),
        text(left - 8, low - side + 6, "1", "sub end"),
        text(left + side / 2, low + 38, "teacher’s probability of a class", "sub middle"),
        text(0, 0, "student’s probability of it", "sub middle").replace(
            "<text", f'<text transform="translate(44 {low - side / 2}) rotate(-90)"'
        ),
        arrow((330, 62), (275, 62)),
        text(336, 60, "reliable", "bold teal"),
        lines(336, 80, ("for some class: pseudo-label, Eq. (8)",)),
        arrow((330, 152), (200, 152)),
        text(336, 150, "unreliable", "bold"),
        lines(336, 170, ("for every class: negative learning,", "Eq. (5) and (6)")),
        lines(
            336,
            222,
            (
                "dashed: τ<tspan dy='3' font-size='10'>r</tspan><tspan dy='-3'> = 0.9 and</tspan>",
                "variance (a − b)² / 4 = 0.05",
            ),
        ),
    )


def negative() -> str:
    """Eq. (5) and (6): one class less in every iteration."""
    rounds = ((0.34, 0.30, 0.22, 0.04, 0.10), (0.36, 0.32, 0.21, 0.02, 0.09), (0.39, 0.34, 0.22, 0.01, 0.04))
    chosen = (3, 4, None)
    parts = []
    for number, (shares, lowest) in enumerate(zip(rounds, chosen)):
        x, base, used = 26 + 190 * number, 170, [one for one in chosen[:number] if one is not None]
        colours = [RED if n == lowest else "#d5dade" if n in used else BLUE for n in range(5)]
        parts += [
            panel(x - 10, 14, 178, 222),
            text(x + 4, 38, f"iteration {number + 1}", "bold"),
            bars(x + 10, base, [280 * share for share in shares], colours, 30, 20),
            wire((x + 4, base), (x + 158, base), colour=LINE),
            curve([(x + 4, base - 280 * 0.2), (x + 158, base - 280 * 0.2)], AMBER, 1.2, "4 3"),
            *(
                text(x + 20 + 30 * n, base + 14, name, "sub end").replace(
                    "<text", f'<text transform="rotate(-45 {x + 20 + 30 * n} {base + 14})"'
                )
                for n, name in enumerate(CLASSES)
            ),
        ]
    parts.append(text(172, 109, "τ", "sub amber"))
    words = ("not a person", "not a tree", "nothing below τ is left")
    parts += [
        text(16 + 190 * n + 89, 229, line, "sub red middle" if n < 2 else "sub middle")
        for n, line in enumerate(words)
    ]
    return figure(
        250,
        "Progressive negative learning of one point",
        "In every iteration the least likely class below the threshold becomes a negative label.",
        *parts,
    )


def objective() -> str:
    """Eq. (7), (8), (6), (3), and their sum."""
    rows = (
        ("Eq. (7)", "labelled points", "student’s classes", "labels", "1"),
        ("Eq. (8)", "reliable points", "student’s classes", "teacher’s classes", "0.1"),
        ("Eq. (6)", "unreliable points", "student’s classes", "negative classes", "0.1"),
        ("Eq. (3)", "unlabelled points", "teacher’s adapter", "student’s features", "0.1"),
    )
    parts = [
        text(x, 32, word, "sub")
        for x, word in ((96, "on"), (236, "trains"), (384, "towards"), (530, "weight"))
    ]
    for number, (name, points, trains, towards, weight) in enumerate(rows):
        y = 44 + 44 * number
        parts += [
            box(16, y, 568, 36, kind="ours" if number == 3 else "box"),
            text(28, y + 23, name, "bold"),
            *(
                text(x, y + 23, word)
                for x, word in ((96, points), (236, trains), (384, towards), (540, weight))
            ),
        ]
    return figure(
        228,
        "The four terms of the objective",
        "Cross-entropy with labels, cross-entropy with pseudo-labels, negative learning, and distillation.",
        *parts,
    )


FIGURES: dict[str, Callable[[], str]] = {
    "problem": problem,
    "teacher": teacher,
    "pairs": pairs,
    "safm": safm,
    "adapter": adapter,
    "reliable": reliable,
    "negative": negative,
    "objective": objective,
}
