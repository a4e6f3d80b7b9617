"""What the charts of a log say about themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lass3d_core.files.splits import LabelledSplit
from train.config import SavedRun
from train.evaluate import Metrics, figures_of
from train.presets.demo import demo
from train.report.learning import learning, scans_behind
from train.report.runs import RunRecord

NAN = float("nan")


def run(title: str, seen: list[float] | None, most: int, whole: int | None = 4071) -> RunRecord:
    """A run of two validations. seen: the column val_scans; None: a log of before."""
    config = demo("street", "supervised", 2.0, 0)
    config = replace(config, schedule=replace(config.schedule, validate_scans=most))
    log = {"step": np.arange(3.0), "loss": np.ones(3), "val_miou": np.array([NAN, 0.2, 0.3])}
    if seen is not None:
        log["val_scans"] = np.array(seen)
    metrics = Metrics(
        run_digest="d", split="val", class_names=("a",), scans=whole or 0, protocol="nested", ratio=2.0,
        seed=0, labelled_scans=2, training_scans=10, steps=3, **figures_of(np.array([[1]])),
    )  # fmt: skip
    split = LabelledSplit("nested", 2.0, 0, ("a",), ("b",))
    found = {} if whole is None else {"val": metrics}
    return RunRecord(Path(title), title, SavedRun(config, "p", "s"), split, {}, log, found)


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([run("A", [NAN, 400, 400], 400)], "on 400 of 4071 scans"),
        ([run("A", [NAN, 400, 400], 400, whole=None)], "on 400 scans"),
        ([run("A", [NAN, 4071, 4071], 0)], ""),
        ([run("A", [NAN, 312, 312], 400, whole=312)], ""),
        ([run("A", None, 0)], ""),
        ([run("A", [NAN, 50, 400], 400)], "on 50 to 400 of 4071 scans"),
        ([run("A", [NAN, 400, 400], 400), run("B", [NAN, 400, 400], 400)], "on 400 of 4071 scans"),
        ([run("A", [NAN, 400, 400], 400), run("B", None, 0)], "A on 400 of 4071 scans, B on all scans"),
    ],
)
def test_curves_say_on_how_many_scans_they_stand(runs: list[RunRecord], said: str) -> None:
    """So nobody takes the figure of a part for the figure of the table."""
    assert scans_behind(runs) == said
    unit = learning(runs)["shown"][0].unit
    assert unit.startswith("per cent, official rule") and unit.endswith(f"; {said}" if said else "count 0")


def test_the_number_of_scans_has_no_chart_of_its_own() -> None:
    charts = learning([run("A", [NAN, 400, 400], 400)])
    titles = [one.title for one in (*charts["shown"], *charts["further"])]
    assert titles == ["Validation mIoU", "Whole objective, Eq. (9)"]
