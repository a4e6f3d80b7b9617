from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.train.demo.test_runs import tiny_plans
from train.demo.comparison import WHY_LASS3D_LOSES, _in_pairs, comparison, verdict
from train.demo.noise import NOISE, noise_of
from train.demo.runs import train_all
from train.evaluate import Metrics, figures_of


def metrics_with(figures: dict) -> Metrics:
    return Metrics(
        run_digest="d", split="val", class_names=("ground", "wall", "lamp"), scans=2, protocol="nested",
        ratio=20.0, seed=0, labelled_scans=2, training_scans=10, steps=12, **figures,
    )  # fmt: skip


def compared(tiny) -> list[str]:
    plans = tiny_plans(tiny)[:2]
    train_all(plans, at_most=2)
    return comparison({plan.title: plan.open() for plan in plans}).splitlines()


def test_a_comparison_has_the_official_figures_first_and_then_what_they_mean(tiny) -> None:
    lines = compared(tiny)
    assert lines[0].startswith("mIoU in %")
    assert lines[0].endswith("absent classes count 0: the official rule")
    assert lines[1].startswith("supervised only")
    assert sum(line.endswith("absent classes dropped") for line in lines) == 1
    assert "2 labelled scans (nested, 20 %, seed 0), 2 steps, points alone at test time" in lines
    assert lines[-1].startswith("One run and one seed each")


def test_the_comparison_says_of_how_many_scans_it_speaks(tiny, rewrite_tiny) -> None:
    silent = ("1/0", "2/0", "2/1")
    rewrite_tiny(tiny, lambda scan: replace(scan, labels=None) if scan.scan_id in silent else scan)
    lines = compared(tiny)
    assert "1 of 2 scans of val has labels" in lines
    assert "0 of 2 scans of test have labels, so it is not evaluated" in lines


def test_a_comparison_without_labels_to_evaluate_has_no_figures(tiny, rewrite_tiny) -> None:
    rewrite_tiny(tiny, lambda scan: scan if scan.scan_id.startswith("0/") else replace(scan, labels=None))
    words = "\n".join(compared(tiny))
    assert "mIoU" not in words and "0 of 2 scans of val have labels" in words


@pytest.mark.parametrize(
    ("mine", "other", "said"),
    [
        (60.0, 50.0, "LASS3D is 10.0 better than supervised only."),
        (50.0, 60.0, "LASS3D is 10.0 worse than supervised only."),
        (50.0, 51.0, "LASS3D is 1.0 worse than supervised only, which is within the noise."),
    ],
)
def test_the_verdict_is_plain_whichever_way_it_goes(mine: float, other: float, said: str) -> None:
    assert verdict("test", "LASS3D", mine, "supervised only", other, 7.0).endswith(said)


def test_why_the_papers_method_loses_is_said_only_where_it_loses() -> None:
    lost = {"supervised only": 50.0, "LASS3D": 38.0, "LASS3D+": 57.0}
    assert WHY_LASS3D_LOSES in _in_pairs(lost, "test", 7.0)
    assert WHY_LASS3D_LOSES not in _in_pairs({**lost, "LASS3D": 55.0}, "test", 7.0)
    assert len(_in_pairs(lost, "test", 7.0)) == 4


def test_absent_classes_that_count_0_shrink_the_noise_with_the_differences() -> None:
    """Two of three classes occur, so a mean over three moves two thirds as far."""
    figures = figures_of(np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]]))
    assert noise_of(metrics_with(figures)) == pytest.approx(NOISE * 2 / 3)
    assert noise_of(metrics_with(figures | {"absent": "dropped"})) == NOISE
