"""The page of one query: a scan to turn, coloured by how like a text its points are."""

from __future__ import annotations

from pathlib import Path

from lass3d_core.files.atomic import write_text
from train.outputs.query import Answer
from train.report.artifacts import label_space
from train.report.clouds import LIKENESS, PREDICTION, TRUTH, PicturedScan, cloud_viewer
from train.report.render import render
from train.runs.run import Run


def write_query_page(path: Path, answer: Answer, run: Run) -> None:
    """Write the page of one answer. Raises StorageError."""
    pictured = PicturedScan(answer.scan, answer.prediction, answer.likeness)
    panels = (LIKENESS, PREDICTION if answer.scan.labels is None else TRUTH)
    viewer = cloud_viewer([pictured], label_space(run.pairs.header), panels)
    write_text(path, render("query.html", answer=answer, run=run.folder.path.name, viewer=viewer))
