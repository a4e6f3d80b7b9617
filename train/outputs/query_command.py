"""`python -m train query`: its flags, and the files that it writes."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np

from lass3d_core.clouds.ply import write_ply
from lass3d_core.datasets import Dataset
from lass3d_core.errors import ManifestError
from lass3d_core.files.atomic import write_text
from lass3d_core.viewer.html import viewer_html
from train.outputs.pictured_answer import pictured_answer
from train.outputs.query import LIKE, UNLIKE, Answer, answer_query, colours
from train.outputs.retrieval import score_queries
from train.report.artifacts import label_space
from train.report.clouds import cloud_viewer
from train.report.render import render
from train.runs.run import Run


def add_flags(command: ArgumentParser) -> None:
    """Add the flags of the command."""
    command.add_argument("--text", metavar="TEXT", help='what to look for, such as "a parked car"')
    command.add_argument("--scan", metavar="SCAN", help="where, such as 08/000010")
    how_well = "score instead: how well class names find their points"
    command.add_argument("--score", action="store_true", help=how_well)
    splits = "with --score: train, val or test (val)"
    command.add_argument("--split", default="val", metavar="SPLIT", help=splits)
    into = "where to write (default: queries in the run's folder)"
    command.add_argument("--into", type=Path, metavar="FOLDER", help=into)


def run_query(run: Run, options: Namespace, dataset: Dataset | None = None) -> str:
    """Do what the flags ask, with a trained run. Returns what to print.

    dataset: knows where the camera images of the page lie.

    Raises ManifestError if the flags ask nothing, and what the answer or the score raises.
    """
    if options.score:
        return score_queries(run, options.split)
    if not options.text or not options.scan:
        raise ManifestError('query: give --text "a parked car" and --scan SCAN, or --score')
    answer = answer_query(run, options.text, options.scan)
    return write_answer(answer, run, options.into or run.folder.queries, dataset)


def write_answer(answer: Answer, run: Run, folder: Path, dataset: Dataset | None = None) -> str:
    """Write SCAN-TEXT.ply and .html into `folder`; returns the line to print. Raises StorageError."""
    scan = answer.scan
    name = f"{scan.scan_id.replace('/', '_')}-{file_name(answer.text)}"
    comments = (
        f"scan {scan.scan_id}: similarity to {answer.text!r}",
        f"{'{} {} {}'.format(*UNLIKE)} up to the scan's median, {answer.median:.3f}",
        f"{'{} {} {}'.format(*LIKE)} its highest, {answer.highest:.3f}",
    )
    scalars = {"similarity": answer.similarity.astype(np.float32), "prediction": answer.prediction.labels}
    write_ply(folder / f"{name}.ply", scan.points, colours(answer.likeness), scalars, comments)
    write_page(folder / f"{name}.html", answer, run, dataset)
    return (
        f"wrote {folder / name}.ply and .html: {answer.text!r} in {scan.scan_id}, "
        f"top similarity {answer.highest:.2f}, median {answer.median:.2f}"
    )


def write_page(path: Path, answer: Answer, run: Run, dataset: Dataset | None = None) -> None:
    """Write the page of one answer: the scan to turn, coloured by how like the text its points are."""
    viewer = viewer_html(cloud_viewer([pictured_answer(answer, run, dataset)], label_space(run.pairs.header)))
    write_text(path, render("query.html", answer=answer, run=run.folder.path.name, viewer=viewer))


def file_name(text: str) -> str:
    """Make `text` a part of a file's name: at most 40 characters, letters and digits joined by hyphens."""
    return re.sub(r"[\W_]+", "-", text.lower())[:40].strip("-") or "text"
