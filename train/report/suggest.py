"""The page of the scans to label next: what the network says in each, where it is unsure, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lass3d_core.files.atomic import write_text
from lass3d_core.model.pictures import as_data_url, picture
from train.outputs.scan_answers import ScanNetwork
from train.outputs.suggest import Suggestion, Suggestions
from train.report.artifacts import label_space
from train.report.render import render
from train.report.results import css_colour
from train.runs.run import Run

MOST_PICTURES = 24
"""Scans that the page shows with pictures. Its table has them all."""

SIZE = (364, 672)
"""Height and width of a picture in pixels. Two stand side by side."""

SURE, UNSURE = (62, 70, 80), (255, 160, 50)
"""Colours of a point without entropy, and of one with BRIGHTEST or more. Pictures have a dark ground."""

BRIGHTEST = 0.5
"""Entropy as a share of the greatest possible."""


@dataclass(frozen=True)
class PicturedSuggestion:
    """A scan with its pictures."""

    suggestion: Suggestion
    why: str
    points: int
    prediction: str  # data URL, as `entropy`
    entropy: str
    legend: tuple[tuple[str, str, float], ...]  # predicted class, CSS colour, share of the points


def write_suggest_page(
    path: Path, found: Suggestions, reasons: Mapping[str, str], run: Run, next_step: str
) -> None:
    """Write the page. reasons: why, by scan id. Raises StorageError."""
    pictured = tuple(_pictured(found.scans[:MOST_PICTURES], reasons, run))
    page = render(
        "suggest.html",
        found=found,
        reasons=reasons,
        pictured=pictured,
        run=run.folder.path.name,
        next_step=next_step,
        brightest=BRIGHTEST,
    )
    write_text(path, page)


def _pictured(
    scans: Sequence[Suggestion], reasons: Mapping[str, str], run: Run
) -> Iterator[PicturedSuggestion]:
    space = label_space(run.pairs.header)
    table = np.array(space.colours, np.uint8)
    scan_ids = [one.figures.scan_id for one in scans]
    for one, answer in zip(scans, ScanNetwork.of(run).answers(scan_ids)):
        points = run.pairs.read(answer.scan_id).points
        share = answer.class_counts / len(points)
        legend = (
            (space.names[label], css_colour(space, label), float(share[label]))
            for label in np.argsort(-share, kind="stable").tolist()
            if share[label]
        )
        yield PicturedSuggestion(
            one,
            reasons[answer.scan_id],
            len(points),
            as_data_url(picture(points, table[answer.prediction], SIZE)),
            as_data_url(picture(points, entropy_colours(answer.entropy), SIZE)),
            tuple(legend),
        )


def entropy_colours(entropy: np.ndarray) -> np.ndarray:
    """entropy (N,) in [0,1] to colours (N,3) uint8, from SURE at 0 to UNSURE at BRIGHTEST."""
    share = (entropy / BRIGHTEST).clip(0, 1)[:, None]
    return np.rint((1 - share) * np.array(SURE) + share * np.array(UNSURE)).astype(np.uint8)
