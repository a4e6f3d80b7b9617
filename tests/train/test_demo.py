from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lass3d_core.errors import Lass3dError
from lass3d_core.files.splits import LabelledSplit
from lass3d_core.manifest.reading import read_manifest
from train.config import with_settings
from train.demo import NOISE, _verdict, comparison, demo_plans, noise_of, train_all
from train.evaluate import Metrics, figures_of
from train.runs.side_by_side import PlannedRun

TINY = [
    "schedule.steps=2", "net.stem=4", "net.encoder=[6, 6, 6]", "net.decoder=[6, 6, 6]",
]  # fmt: skip


def metrics_with(figures: dict) -> Metrics:
    return Metrics(
        run_digest="d", split="val", class_names=("ground", "wall", "lamp"), scans=2, protocol="nested",
        ratio=20.0, seed=0, labelled_scans=2, training_scans=10, steps=12, **figures,
    )  # fmt: skip


def tiny_plans(tiny) -> list[PlannedRun]:
    manifest, dataset = read_manifest(tiny.manifest)
    plans = demo_plans(manifest, dataset, 20.0, 0)
    return [replace(plan, config=with_settings(plan.config, TINY)) for plan in plans]


def test_the_demo_compares_lass3d_with_two_controls(tiny) -> None:
    supervised, no_text, lass3d = tiny_plans(tiny)
    assert (supervised.config.method_name, no_text.config.method_name) == ("supervised", "lass3d")
    assert no_text.config.method.captions == "none"
    assert lass3d.config.method.captions == "both"
    assert len({plan.folder for plan in (supervised, no_text, lass3d)}) == 3
    assert supervised.config.schedule == no_text.config.schedule == lass3d.config.schedule


def test_runs_side_by_side_share_their_labelled_scans_and_end_in_a_table(tiny) -> None:
    plans = tiny_plans(tiny)[:2]
    train_all(plans, at_most=2)
    runs = {plan.title: plan.open() for plan in plans}
    assert all(run.is_finished for run in runs.values())
    assert len({LabelledSplit.load(run.folder.split).labelled for run in runs.values()}) == 1
    words = comparison(runs)
    first, row, *_ = words.splitlines()
    assert first.startswith("mIoU in %") and first.endswith("absent classes count 0: the official rule")
    assert row.startswith("supervised only")
    assert sum(line.endswith("absent classes dropped") for line in words.splitlines()) == 1
    assert "one seed" in words


def test_the_comparison_says_of_how_many_scans_it_speaks(tiny, rewrite_tiny) -> None:
    rewrite_tiny(
        tiny,
        lambda scan: replace(scan, labels=None) if scan.scan_id in ("1/0", "2/0", "2/1") else scan,
    )
    plans = tiny_plans(tiny)[:2]
    train_all(plans, at_most=2)
    lines = comparison({plan.title: plan.open() for plan in plans}).splitlines()
    assert "1 of 2 scans of val has labels" in lines
    assert "0 of 2 scans of test have labels, so it is not evaluated" in lines


def test_a_comparison_without_labels_to_evaluate_has_no_figures(tiny, rewrite_tiny) -> None:
    rewrite_tiny(tiny, lambda scan: scan if scan.scan_id.startswith("0/") else replace(scan, labels=None))
    plans = tiny_plans(tiny)[:2]
    train_all(plans, at_most=2)
    words = comparison({plan.title: plan.open() for plan in plans})
    assert "mIoU" not in words and "0 of 2 scans of val have labels" in words


def test_a_failing_run_is_named_with_its_reason(tiny) -> None:
    plan = tiny_plans(tiny)[0]
    plan.folder.parent.mkdir(parents=True)
    plan.folder.write_text("a file where a folder should be")
    with pytest.raises(Lass3dError, match=r"supervised-demo-r20-s0 failed: .*a file, not a folder"):
        train_all([plan], at_most=1)


@pytest.mark.parametrize(
    ("mine", "other", "said"),
    [
        (60.0, 50.0, "LASS3D is 10.0 better than supervised only"),
        (50.0, 60.0, "LASS3D is 10.0 worse than supervised only"),
        (50.0, 51.0, "LASS3D is 1.0 worse than supervised only, which is within the noise"),
    ],
)
def test_the_verdict_is_plain_whichever_way_it_goes(mine: float, other: float, said: str) -> None:
    assert _verdict("test", "LASS3D", mine, "supervised only", other, 7.0).endswith(said)


def test_absent_classes_that_count_0_shrink_the_noise_with_the_differences() -> None:
    """Two of three classes occur, so a mean over three moves two thirds as far."""
    figures = figures_of(np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]]))
    assert noise_of(metrics_with(figures)) == pytest.approx(NOISE * 2 / 3)
    assert noise_of(metrics_with(figures | {"absent": "dropped"})) == NOISE
