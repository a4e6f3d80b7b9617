"""Writes the page: one HTML file that needs nothing beside it and nothing from the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from lass3d_core.atomic import write_text
from lass3d_core.datasets import Dataset
from lass3d_core.errors import CorruptArtifact, MissingArtifact, StaleArtifact
from lass3d_core.labels import LabelSpace
from lass3d_core.records import PairedScan
from train import evaluate
from train.batches import whole_scan
from train.paired_scans import PairedScans
from train.report import sections
from train.report.artifacts import label_space, pictured_images, spread
from train.report.clouds import PicturedScan, cloud_viewer
from train.report.images import PicturedImage, image_gallery
from train.report.markup import Markup, element
from train.report.pairing import measure_coverage
from train.report.runs import SPLITS, RunRecord, read_run, siblings
from train.run import Run
from train.run_folder import RunFolder

Predict = Callable[[PairedScan], np.ndarray]
"""The predicted train id of every point of a scan, (N,) uint8, in raw order."""

_IMAGES = 6
_CLOUDS = 6
_COVERAGE_SCANS = 200
_CLOUDS_TITLE = "What it sees"


def write_report(
    run_dir: Path,
    artifacts: Path,
    out: Path | None = None,
    *,
    dataset: Dataset | None = None,
    predict: Predict | None = None,
) -> Path:
    """Write the page of the run in `run_dir` to `out`, or to `run_dir`/report.html; returns where.

    artifacts: the data set's folder that preprocess wrote. dataset: finds the pictures' files, which the pairs do
    not know. predict: for the point clouds, instead of the run's last checkpoint. Runs that a `demo.json` beside the
    run lists with it are compared with it. What is missing is said on the page.
    Raises MissingArtifact, CorruptArtifact where the run or the pairs cannot be read, StorageError.
    """
    run, scans = read_run(run_dir), PairedScans.open(artifacts)
    runs, space = [run, *siblings(run)], label_space(scans.header)
    main = element(
        "main",
        sections.results(runs, space),
        sections.curves(runs),
        _clouds(run, scans, space, predict),
        _images(scans, dataset),
        _coverage(run, scans, space),
        sections.setup(run),
        sections.reproduce(run),
    )
    out = out or run_dir / "report.html"
    write_text(out, document(f"{run.title} on {run.config.dataset}", sections.header(run), main))
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


def _clouds(run: RunRecord, scans: PairedScans, space: LabelSpace, predict: Predict | None) -> Markup:
    split = next((name for name in SPLITS if scans.labelled_scans(name)), None)
    if split is None:
        return _no_clouds("no test or validation scan has labels")
    try:
        predict = predict or predictor(run, scans)
    except (MissingArtifact, StaleArtifact, CorruptArtifact) as error:
        return _no_clouds(str(error))
    chosen = tqdm(
        spread(scans.labelled_scans(split), _CLOUDS), desc="predicting", unit="scan", leave=False, delay=2
    )
    pictured = [PicturedScan(scan, predict(scan)) for scan in map(scans.read, chosen)]
    words = (
        f"Scans of the {'test' if split == 'test' else 'validation'} split, evenly chosen, predicted from the points "
        "alone. Drag to turn; click, then use the wheel, or pinch, to zoom; double-click to go back. The four "
        "pictures turn together, and a class of the legend can be shown by itself."
    )
    return sections.section("clouds", _CLOUDS_TITLE, element("p", words), cloud_viewer(pictured, space))


def predictor(run: RunRecord, scans: PairedScans) -> Predict:
    """Predicts with the run's last checkpoint, on the CPU. Raises MissingArtifact, StaleArtifact, CorruptArtifact."""
    device = torch.device("cpu")
    again = Run(run.config, scans, run.split, RunFolder(run.folder), device)
    network = again.trained_method().predictor.eval()
    return lambda scan: evaluate.predict(
        network, whole_scan(scan, run.config.data.voxel_m, again.levels), device
    )


def _no_clouds(why: str) -> Markup:
    return sections.section(
        "clouds", _CLOUDS_TITLE, element("p", f"No point clouds: {why}.", class_="absent")
    )


def _images(scans: PairedScans, dataset: Dataset | None) -> Markup:
    pictured = pictured_images(scans, spread(scans.splits["train"], _IMAGES), dataset)[:_IMAGES]
    words = (
        "Training images, evenly chosen, with the caption that a language-vision model wrote and the entities that "
        "another one found. Underlined phrases were grounded in the image."
    )
    return sections.section(
        "images", "What the language models said", element("p", words), _gallery(pictured)
    )


def _gallery(pictured: Sequence[PicturedImage]) -> Markup:
    if not pictured:
        return element("p", "The training scans have no images.", class_="absent")
    return image_gallery(pictured)


def _coverage(run: RunRecord, scans: PairedScans, space: LabelSpace) -> Markup:
    """Coverage over all training scans, or evenly chosen ones and the labelled ones where there are very many."""
    train = scans.splits["train"]
    chosen = dict.fromkeys([*spread(train, _COVERAGE_SCANS), *run.split.labelled[:_COVERAGE_SCANS]])
    read = (
        scans.read(scan_id) for scan_id in tqdm(chosen, desc="coverage", unit="scan", leave=False, delay=2)
    )
    measured = measure_coverage(read, set(run.split.labelled), len(space.names))
    uses_text = getattr(run.config.method, "captions", "none") != "none"
    return sections.coverage(measured, space, uses_text)
