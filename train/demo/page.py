"""The page of the demo: a scan with its words and classes first, then the comparison and what it means."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lass3d_core.datasets import Dataset
from lass3d_core.files.atomic import write_text
from lass3d_core.viewer.html import viewer_html
from train.data.text_models import text_models
from train.demo.comparison import made_how, meaning, mious
from train.outputs.pictured_answer import pictured_answer
from train.outputs.query import Answer
from train.report.artifacts import label_space, pictured_images
from train.report.clouds import cloud_viewer
from train.report.images import ShownImage, image_gallery
from train.report.render import render
from train.runs.run import Run

WHAT_IT_IS = {
    "supervised only": "learns from the labelled scans and reads no others",
    "LASS3D": "the paper's method, in a form that is cheap on a CPU: text is an input of its student",
    "LASS3D+": "our extension: text corrects the pseudo-labels of the scans without labels",
}


@dataclass(frozen=True)
class Row:
    """A method with its figures. report: where its page lies, from this page; empty if it has none."""

    title: str
    what: str
    miou: Mapping[str, float]  # split -> per cent, by the official rule
    report: str


def write_demo_page(
    path: Path,
    runs: Mapping[str, Run],
    answer: Answer,
    dataset: Dataset,
    next_commands: Sequence[str],
) -> None:
    """Write the page. answer: of the last run to the demo's question. Raises StorageError."""
    run = list(runs.values())[-1]
    viewer = cloud_viewer([pictured_answer(answer, run, dataset)], label_space(run.pairs.header))
    page = render(
        "demo.html",
        run=run,
        rows=_rows(runs, path.parent),
        split=run.splits[-1] if run.splits else "",
        made_how=made_how(run),
        meaning=meaning(runs),
        answer=answer,
        lead=_image(run, answer.scan.scan_id, dataset),
        viewer=viewer_html(viewer),
        models=text_models(run.pairs),
        commands=next_commands,
    )
    write_text(path, page)


def _rows(runs: Mapping[str, Run], folder: Path) -> list[Row]:
    pages = {title: run.folder.path / "report.html" for title, run in runs.items()}
    links = {title: os.path.relpath(page, folder) if page.is_file() else "" for title, page in pages.items()}
    return [Row(title, WHAT_IT_IS[title], miou, links[title]) for title, miou in mious(runs).items()]


def _image(run: Run, scan_id: str, dataset: Dataset) -> ShownImage | None:
    """The first image of the scan, with its words."""
    images = image_gallery(pictured_images(run.pairs, [scan_id], dataset)[:1])
    return images[0] if images else None
