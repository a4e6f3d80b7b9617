"""Write the page of a run: one HTML file that needs nothing beside it and nothing from the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from lass3d_core.datasets import Dataset
from lass3d_core.errors import CorruptArtifact, MissingArtifact, StaleArtifact
from lass3d_core.files.atomic import write_text
from lass3d_core.files.coverage import Agreement, Coverage
from lass3d_core.files.splits import spread
from lass3d_core.labels import LabelSpace
from lass3d_core.manifest.schema import DatasetSpec
from lass3d_core.manifest.stand_ins import stand_in_warning
from lass3d_core.model.predict import Prediction
from lass3d_core.progress.bars import progress_bar
from lass3d_core.records import PairedScan
from lass3d_core.viewer.html import viewer_html
from train import evaluate
from train.data.paired_scans import PairedScans
from train.data.text_models import text_models, uses_text
from train.outputs.retrieval import Retrieval
from train.report.artifacts import label_space, pictured_images
from train.report.clouds import PicturedScan, cloud_viewer, photos_of
from train.report.images import ShownImage, image_gallery
from train.report.learning import learning
from train.report.render import render
from train.report.reproduce import commands, setup
from train.report.results import results
from train.report.runs import SPLITS, RunRecord, read_run, siblings
from train.report.words import grouped, percent
from train.runs.run import Run
from train.runs.run_folder import RunFolder

Predict = Callable[[PairedScan], Prediction]
"""The predicted train id of every point of a scan, in raw order, with its confidence."""

_IMAGES = 6
_CLOUDS = 6
_COVERAGE_SCANS = 200
_MOST_PHRASES = 12


def write_report(
    run_dir: Path,
    artifacts: Path,
    out: Path | None = None,
    *,
    dataset: Dataset | None = None,
    spec: DatasetSpec | None = None,
    predict: Predict | None = None,
    others: Sequence[Path] | None = None,
) -> Path:
    """Write the page of a run and return where it lies. What is missing is said on the page.

    run_dir: the run's folder.
    others: folders of runs to compare it with; by default those that a demo.json beside it lists with it.
    artifacts: the folder of the data set that preprocess wrote.
    out: the file to write; report.html in the run's folder by default.
    dataset: finds the files of the pictures, which the pairs do not know.
    spec: the data set's block of the manifest, which says whether it is simulated.
    predict: makes the predictions of the point clouds, by default with the run's last checkpoint.
    Raises MissingArtifact, CorruptArtifact if the run or the pairs cannot be read, StorageError.
    """
    run, scans = read_run(run_dir), PairedScans.open(artifacts)
    beside = siblings(run) if others is None else [read_run(folder) for folder in others]
    runs, space = [run, *beside], label_space(scans.header)
    page = render(
        "run.html",
        run=run,
        results=results(runs, space),
        learning=learning(runs),
        clouds=_clouds(run, scans, space, predict, dataset),
        queries=_queries(run),
        images=_images(scans, dataset),
        words=_words(scans, spec),
        pairing=_pairing(run, scans, space),
        setup=setup(run),
        commands=commands(run),
    )
    out = out or run_dir / "report.html"
    write_text(out, page)
    return out


def predictor(run: RunRecord, scans: PairedScans) -> Predict:
    """Predict with the run's last checkpoint, on the CPU. Confidences are calibrated if it was evaluated.

    Raises MissingArtifact, StaleArtifact, CorruptArtifact.
    """
    device = torch.device("cpu")
    again = Run(run.config, scans, run.split, RunFolder(run.folder), device, known=run.saved)
    network = again.trained_predictor()
    temperature = again.fitted_temperature() or 1.0
    return lambda scan: evaluate.confident(network, again.whole_scan(scan.scan_id), device, temperature)


def _clouds(
    run: RunRecord, scans: PairedScans, space: LabelSpace, predict: Predict | None, dataset: Dataset | None
) -> dict[str, Any]:
    """Point clouds of one split, with their camera images. problem: why there are none."""
    split = next((name for name in SPLITS if scans.labelled_scans(name)), None)
    if split is None:
        return {"problem": "no test or validation scan has labels"}
    try:
        predict = predict or predictor(run, scans)
    except (MissingArtifact, StaleArtifact, CorruptArtifact) as error:
        return {"problem": error}
    chosen = spread(scans.labelled_scans(split), _CLOUDS)
    read = map(scans.read, progress_bar(chosen, desc="predicting", unit="scan", leave=False, delay=2))
    has_sensor = not run.config.data.from_corner
    pictured = [
        PicturedScan(scan, predict(scan), photos_of(scan, dataset), has_sensor=has_sensor) for scan in read
    ]
    viewer = viewer_html(cloud_viewer(pictured, space))
    counts = len(chosen), len(scans.labelled_scans(split)), len(scans.splits[split])
    return {"problem": "", "split": split, "viewer": viewer, "counts": counts}


def _queries(run: RunRecord) -> dict[str, Any] | None:
    """The score of the run's query head, if there is one."""
    paths = (RunFolder(run.folder).retrieval(split) for split in SPLITS)
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        return None
    score = Retrieval.load(path)
    found = [
        (query, percent(precision), percent(share), grouped(score.points_of(share)))
        for query, precision, share in score.best_found()
    ]
    return {"score": score, "rows": found}


def _images(scans: PairedScans, dataset: Dataset | None) -> list[ShownImage]:
    chosen = spread(scans.splits["train"], _IMAGES)
    return image_gallery(pictured_images(scans, chosen, dataset)[:_IMAGES])


def _words(scans: PairedScans, spec: DatasetSpec | None) -> dict[str, Any]:
    """Which models made the texts, by stage, and the warning if they are stand-ins."""
    models = text_models(scans)
    warning = stand_in_warning(scans.index.dataset, spec, models)
    return {stage: " and ".join(names) for stage, names in models.items()} | {"warning": warning}


def _pairing(run: RunRecord, scans: PairedScans, space: LabelSpace) -> dict[str, Any]:
    """How many points of the training scans have text, and how well it fits the labels.

    If there are very many scans, some of them are counted, evenly chosen. Labels are read in the labelled
    scans of this run alone.
    """
    labelled = set(run.split.labelled)
    coverage, agreement = Coverage(), Agreement(space.names)
    chosen = spread(scans.splits["train"], _COVERAGE_SCANS) + spread(run.split.labelled, _COVERAGE_SCANS)
    for scan_id in progress_bar(dict.fromkeys(chosen), desc="coverage", unit="scan", leave=False, delay=2):
        scan = scans.read(scan_id)
        coverage.add(scan)
        if scan_id in labelled and scan.labels is not None:
            agreement.add(scan)
    main = agreement.main_classes()
    phrases = []
    for phrase, count in coverage.phrases.most_common(_MOST_PHRASES):
        name, purity = (main[phrase].name, main[phrase].purity) if phrase in main else ("–", None)
        phrases.append((phrase, percent(count / coverage.points), name, percent(purity)))
    used = uses_text(run.config.method)
    figures = {"coverage": coverage, "agreement": agreement, "phrases": phrases, "uses_text": used}
    return {**figures, "scans": len(scans.splits["train"]), "labelled": len(labelled)}
