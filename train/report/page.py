"""Writes the page: one HTML file that needs nothing beside it and nothing from the network."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from lass3d_core.datasets import Dataset
from lass3d_core.errors import CorruptArtifact, MissingArtifact, StaleArtifact
from lass3d_core.files.atomic import write_text
from lass3d_core.labels import LabelSpace
from lass3d_core.records import PairedScan
from train import evaluate
from train.data.paired_scans import PairedScans
from train.outputs.retrieval import Retrieval
from train.report.artifacts import label_space, pictured_images, spread
from train.report.clouds import PicturedScan, cloud_viewer
from train.report.images import image_gallery
from train.report.markup import Markup, element, join
from train.report.pairing import measure_coverage
from train.report.results import header, results
from train.report.retrieval import retrieval
from train.report.runs import SPLITS, RunRecord, read_run, siblings
from train.report.sections import coverage, learning, reproduce, section, setup
from train.report.words import SPLIT_NAMES
from train.runs.run import Run
from train.runs.run_folder import RunFolder

Predict = Callable[[PairedScan], np.ndarray]
"""The predicted train id of every point of a scan, (N,) uint8, in raw order."""

_IMAGES = 6
_CLOUDS = 6
_COVERAGE_SCANS = 200


def write_report(
    run_dir: Path,
    artifacts: Path,
    out: Path | None = None,
    *,
    dataset: Dataset | None = None,
    predict: Predict | None = None,
) -> Path:
    """Write the page of the run in `run_dir` to `out`, or to `run_dir`/report.html; returns where.

    artifacts: the data set's folder that preprocess wrote. dataset: finds the pictures' files, which the
    pairs do not know. predict: for the point clouds, instead of the run's last checkpoint. Runs that a
    `demo.json` beside the run lists with it are compared with it. What is missing is said on the page.
    Raises MissingArtifact, CorruptArtifact where the run or the pairs cannot be read, StorageError.
    """
    run, scans = read_run(run_dir), PairedScans.open(artifacts)
    runs, space = [run, *siblings(run)], label_space(scans.header)
    main = [
        section("results", "Results", results(runs, space)),
        section("learning", "How it learnt", learning(runs)),
        section("clouds", "What it sees", _clouds(run, scans, space, predict)),
        *_queries(run),
        section("images", "What the language models said", _images(scans, dataset)),
        section("pairing", "Points and their text", _coverage(run, scans, space)),
        section("setup", "What ran, and with what", setup(run)),
        section("again", "Do it again", reproduce(run)),
    ]
    out = out or run_dir / "report.html"
    write_text(out, document(f"{run.title} on {run.config.dataset}", header(run), element("main", *main)))
    return out


def document(title: str, *body: Markup) -> str:
    """A whole HTML document with the style sheet in it; its policy forbids it to fetch anything."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("title", title),
        element(
            "style", Markup(resources.files("train.report").joinpath("style.css").read_text(encoding="utf-8"))
        ),
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', *body), lang='en')}\n"


def predictor(run: RunRecord, scans: PairedScans) -> Predict:
    """Predicts with the run's last checkpoint, on the CPU.

    Raises MissingArtifact, StaleArtifact, CorruptArtifact.
    """
    device = torch.device("cpu")
    again = Run(run.config, scans, run.split, RunFolder(run.folder), device)
    network = again.trained_method().predictor.eval()
    return lambda scan: evaluate.predict(network, again.whole_scan(scan.scan_id), device)


def _clouds(run: RunRecord, scans: PairedScans, space: LabelSpace, predict: Predict | None) -> Markup:
    split = next((name for name in SPLITS if scans.labelled_scans(name)), None)
    if split is None:
        return _absent("No point clouds: no test or validation scan has labels.")
    try:
        predict = predict or predictor(run, scans)
    except (MissingArtifact, StaleArtifact, CorruptArtifact) as error:
        return _absent(f"No point clouds: {error}.")
    chosen = spread(scans.labelled_scans(split), _CLOUDS)
    read = map(scans.read, tqdm(chosen, desc="predicting", unit="scan", leave=False, delay=2))
    words = (
        f"Scans of the {SPLIT_NAMES[split]} split, evenly chosen, predicted from the points alone. Drag to "
        "turn; click, then use the wheel, or pinch, to zoom; double-click to go back. The four pictures turn "
        "together, and a class of the legend can be shown by itself."
    )
    return join(
        element("p", words), cloud_viewer([PicturedScan(scan, predict(scan)) for scan in read], space)
    )


def _queries(run: RunRecord) -> list[Markup]:
    """A section where the run's query head has been scored."""
    paths = (RunFolder(run.folder).retrieval(split) for split in SPLITS)
    path = next((path for path in paths if path.exists()), None)
    return [section("queries", "Asked by text", retrieval(Retrieval.load(path)))] if path else []


def _images(scans: PairedScans, dataset: Dataset | None) -> Markup:
    pictured = pictured_images(scans, spread(scans.splits["train"], _IMAGES), dataset)[:_IMAGES]
    if not pictured:
        return _absent("The training scans have no images.")
    words = (
        "Training images, evenly chosen, with the caption that one language-vision model wrote and the "
        "entities that another found. Underlined phrases were grounded in the image; figures are scores."
    )
    return join(element("p", words), image_gallery(pictured))


def _coverage(run: RunRecord, scans: PairedScans, space: LabelSpace) -> Markup:
    """Coverage over all training scans, or where there are very many over some of them, evenly chosen."""
    some = spread(scans.splits["train"], _COVERAGE_SCANS) + spread(run.split.labelled, _COVERAGE_SCANS)
    read = map(scans.read, tqdm(dict.fromkeys(some), desc="coverage", unit="scan", leave=False, delay=2))
    measured = measure_coverage(read, set(run.split.labelled), len(space.names))
    return coverage(measured, space, uses_text=getattr(run.config.method, "captions", "none") != "none")


def _absent(why: str) -> Markup:
    return element("p", why, class_="absent")
