"""The page of one query: a text held against a scan, as a cloud to turn."""

from __future__ import annotations

from pathlib import Path

from lass3d_core.files.atomic import write_text
from train.outputs.query import Answer
from train.report.artifacts import label_space
from train.report.clouds import PicturedScan, cloud_viewer
from train.report.markup import element
from train.report.page import document
from train.report.words import plural
from train.runs.run import Run


def page(path: Path, answer: Answer, run: Run) -> None:
    """Write the page of one answer: a cloud to turn, coloured by similarity. Raises StorageError."""
    space = label_space(run.pairs.header)
    pictured = PicturedScan(answer.scan, answer.prediction, answer.likeness)
    panels = ("likeness", "prediction" if answer.scan.labels is None else "truth")
    facts = {
        "scan": answer.scan.scan_id,
        "points": plural(len(answer.scan.points), "point"),
        "highest similarity": f"{answer.highest:.3f}",
        "median": f"{answer.median:.3f}",
        "run": run.folder.path.name,
    }
    named = [element("div", element("dt", name), element("dd", fact)) for name, fact in facts.items()]
    head = element(
        "header",
        element("p", "LASS3D, a query", class_="eyebrow"),
        element("h1", f"“{answer.text}”"),
        element("p", _WORDS, class_="lede"),
        element("dl", *named, class_="facts"),
    )
    body = element("main", element("section", cloud_viewer([pictured], space, panels=panels)))
    write_text(path, document(f"“{answer.text}” in {answer.scan.scan_id}", head, body))


_WORDS = (
    "How like the text every point is, by a network that sees points alone. Similarity is the cosine between "
    "what the network makes of a point and the text's embedding; the scan's median and all below stay pale."
)
