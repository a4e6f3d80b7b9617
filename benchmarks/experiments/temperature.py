"""Calibration error on the validation scans, by what the temperature of the confidences minimises.

    python benchmarks/experiments/temperature.py runs/street/lass3d_plus-demo-r2-s0 ...

Prints for each run the error in per cent without a temperature, with the one that minimises the negative
log-likelihood, and with the one that minimises the Brier score, which lass3d_core/model/calibration.py takes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from lass3d_core.manifest.reading import read_manifest
from lass3d_core.model.calibration import LEAST, MOST
from train.config import SavedRun
from train.data.evaluation_batches import evaluation_batches
from train.data.paired_scans import PairedScans
from train.evaluate import LogitSample, confusions
from train.runs.run import SAMPLED_POINTS, Run
from train.runs.run_folder import RunFolder


def main() -> None:
    """Print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs")
    parser.add_argument("--manifest", type=Path, default=Path("data_manifest.yaml"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'run':<34} {'none':>5} {'likelihood':>10} {'Brier':>6}")
    for folder in given.runs:
        sample = validation_sample(folder, given.manifest)
        temperatures = (1.0, likeliest(sample), sample.fit_temperature())
        none, likelihood, brier = (100 * (sample.error(one) or 0.0) for one in temperatures)
        print(f"{folder.name:<34} {none:5.1f} {likelihood:10.1f} {brier:6.1f}")


def validation_sample(folder: Path, manifest_path: Path) -> LogitSample:
    """Logits and labels of points of the validation scans, as the end of training draws them."""
    dataset = SavedRun.load(folder / "config.json").config.dataset
    manifest, name = read_manifest(manifest_path, dataset)
    pairs = PairedScans.open(manifest.artifacts_of(name))
    run = Run.existing(RunFolder(folder), pairs, manifest.datasets[name], torch.device("cpu"))
    scan_ids = pairs.labelled_scans("val")
    sample = LogitSample(SAMPLED_POINTS, len(scan_ids))
    batches = evaluation_batches(run.whole_scans_of(scan_ids), run.device, workers=0)
    confusions(run.trained_predictor(), batches, pairs.num_classes, run.device, sample)
    return sample


def likeliest(sample: LogitSample) -> float:
    """The temperature that minimises the negative log-likelihood."""
    logits = torch.cat(sample.logits).double()
    labels = torch.from_numpy(np.concatenate(sample.labels).astype(np.int64))

    def loss(log_temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits / np.exp(log_temperature), labels))

    found = minimize_scalar(loss, bounds=(np.log(LEAST), np.log(MOST)), method="bounded")
    return float(np.exp(found.x))


if __name__ == "__main__":
    main()
