"""Each method of the tables learns the tiny set, from end to end."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lass3d_core.manifest.schema import DatasetSpec, SplitSpec
from train.config import with_settings
from train.data.paired_scans import PairedScans
from train.evaluate import Metrics
from train.presets.demo import demo
from train.runs.logs import read_log
from train.runs.run import Run
from train.runs.run_folder import RunFolder
from train.runs.train_run import train_run

SPEC = DatasetSpec("semantickitti", Path(), SplitSpec(("0",), ("1",), ("2",)))
SMALL = (
    "net.stem=8",
    "net.encoder=[12, 16, 24]",
    "net.decoder=[16, 16, 16]",
    "schedule.steps=30",
    "schedule.validate_every=30",
    "data.augment.keep=1",
    "optim.peak_lr=0.03",
)

RANGE = ("net.image.height=32", "net.image.width=64", "net.image.pitch_deg=[-60.0, 60.0]", "net.view=range")


@pytest.mark.parametrize(
    ("method", "own"),
    [
        ("cps", ()),
        ("cbst", ("method.round_steps=8",)),
        ("gpc", ("method.labels_first=5", "method.bank=1000", "method.negatives=500", "method.anchors=100")),
        ("lasermix", ("method.pitch_deg=[-60.0, 60.0]",)),
        ("lasermix", ("method.pitch_deg=[-60.0, 60.0]", *RANGE)),
        ("supervised", RANGE),
        ("lim3d", ("method.distil_from=15",)),
        ("ignet", ()),
        ("sss_net", ("method.round_steps=10",)),
    ],
)
def test_method_learns_the_tiny_set(tiny, method: str, own: tuple[str, ...]) -> None:
    """Three classes of which half of the points are one: guessing scores 1/6."""
    config = with_settings(demo("tiny", method, 20.0, 0), (*SMALL, *own))
    folder = RunFolder(tiny.run(method))
    run = Run.of(config, PairedScans.open(tiny.artifacts), SPEC, folder, torch.device("cpu"))
    assert train_run(run, resume=False)
    rows = read_log(folder.path / "log.csv")
    assert float(rows[-1]["ce_l"]) < 0.8 * float(rows[0]["ce_l"])
    assert Metrics.load(folder.metrics("test")).miou_official > 0.4
