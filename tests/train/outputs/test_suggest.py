"""The rule by hand; then a tiny network that never met a lamp, from training to the page."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from torch import nn

from lass3d_core.errors import DataError
from lass3d_core.files.splits import LabelledSplit, nested_choice, read_list
from lass3d_core.records import PairedScan
from train.__main__ import main
from train.outputs.suggest import (
    Pick,
    ScanFigures,
    Suggestion,
    Suggestions,
    choose,
    descriptors,
    mean_features,
    relative,
    training_scans,
)
from train.outputs.suggest_command import why
from train.report.suggest import BRIGHTEST, SURE, UNSURE, entropy_colours
from train.runs.run import Run

TINY = (
    "schedule.steps=40",
    "schedule.validate_every=40",
    "schedule.checkpoint_every=40",
    "net.stem=6",
    "net.encoder=[6, 6, 6]",
    "net.decoder=[6, 6, 6]",
)
TRAIN = [f"0/{number}" for number in range(10)]
LABELLED = nested_choice(TRAIN, 20, 0)
ODD = next(scan_id for scan_id in reversed(TRAIN) if scan_id not in LABELLED)
"""The one unlabelled scan with a lamp."""


def scan(counts: list[int], features: list[list[float]]) -> ScanFigures:
    return ScanFigures("0/0", 0.0, 0.0, 0, np.array(counts), np.array(features))


def test_the_centre_is_the_mean_over_points() -> None:
    """3 points with (4, 0), 1 with (0, 8), and 4 with (2, 2)."""
    scans = [scan([3, 1], [[4, 0], [0, 8]]), scan([0, 4], [[9, 9], [2, 2]])]
    assert mean_features(scans).tolist() == [(12 + 8) / 8, (8 + 8) / 8]


def test_a_descriptor_is_the_root_of_the_share_times_the_way_from_the_centre() -> None:
    found = descriptors([scan([1, 3], [[2, 0], [0, 4]]), scan([0, 5], [[7, 7], [1, 1]])], np.array([1.0, 1]))
    root = np.sqrt(0.75)
    assert found == pytest.approx(np.array([[0.5, -0.5, -root, 3 * root], [0, 0, 0, 0]]))


def test_alike_scans_are_taken_by_distance_to_labelled_and_chosen_ones() -> None:
    """Labelled at 0. First 3 (farthest), then -2 (2 away from 0), then 2.5 (0.5 away from 3)."""
    same, places = np.ones(4), np.array([[2.5], [-2.0], [0.25], [3.0]])
    picks = choose(same, same, places, np.array([[0.0]]), 3)
    assert [pick.scan for pick in picks] == [3, 1, 0]
    assert [pick.variety for pick in picks] == [3, 2, 0.5]
    # Number 0 is the labelled scan; 1 + 3 is the unlabelled scan 3.
    assert [pick.nearest for pick in picks] == [0, 0, 4]
    mean = (2.5 + 2 + 0.25 + 3) / 4
    assert [pick.score for pick in picks] == pytest.approx([3 / mean, 2 / mean, 0.5 / mean])


def test_score_is_the_mean_of_two_figures_times_the_third() -> None:
    """Uncertainty 1, 3: relative 0.5, 1.5. Disagreement 3, 1: 1.5, 0.5. Distance 1, 2: 2/3, 4/3."""
    picks = choose(np.array([1.0, 3]), np.array([3.0, 1]), np.array([[1.0], [-2.0]]), np.zeros((1, 1)), 1)
    (pick,) = picks
    assert pick.scan == 1 and pick.score == pytest.approx(4 / 3)
    assert pick.relative == pytest.approx((1.5, 0.5, 4 / 3))


def test_at_one_distance_the_more_uncertain_scan_is_first() -> None:
    places, steady = np.array([[1.0], [-1.0]]), np.zeros(2)
    assert choose(np.array([0.2, 0.3]), steady, places, np.zeros((1, 1)), 1)[0].scan == 1
    assert choose(steady, np.array([0.3, 0.2]), places, np.zeros((1, 1)), 1)[0].scan == 0


def test_copies_come_last_however_unsure_the_network_is() -> None:
    unsure = np.array([0.9, 0.8, 0.1])
    places = np.array([[0.0], [0.0], [1.0]])  # two copies of the labelled scan
    picks = choose(unsure, unsure, places, np.zeros((1, 1)), 9)
    assert [pick.scan for pick in picks] == [2, 0, 1]


def test_a_figure_that_is_zero_everywhere_decides_nothing() -> None:
    assert relative(np.zeros(3)).tolist() == [1, 1, 1]
    assert relative(np.array([1.0, 3.0])).tolist() == [0.5, 1.5]


def without_lamp(scan: PairedScan) -> PairedScan:
    """The points of the lamp become points of the ground, except in the scan ODD."""
    if scan.scan_id == ODD:
        return scan
    lamp, ground = scan.labels == 2, np.flatnonzero(scan.labels == 0)
    taken = ground[: int(lamp.sum())]
    points, features, labels = scan.points.copy(), scan.features.copy(), scan.labels.copy()
    points[lamp] = points[taken] + np.float32(0.01)
    features[lamp], labels[lamp] = features[taken], 0
    entity = scan.pairs.entity.copy()
    entity[lamp & (entity == 2)] = 0
    return replace(
        scan, points=points, features=features, labels=labels, pairs=replace(scan.pairs, entity=entity)
    )


def suggest(project: Any, *more: str) -> list[str]:
    return project.arguments("suggest", "--method", "supervised", "--ratio", "20", *more)


def test_a_scan_of_an_unseen_class_is_first_and_the_list_trains(
    tiny: Any, rewrite_tiny: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite_tiny(tiny, without_lamp)
    assert main(tiny.training(settings=TINY)) == 0
    capsys.readouterr()
    assert main(suggest(tiny, "--count", "3")) == 0
    folder = tiny.run("supervised-demo-r20-s0") / "suggest"
    *scans, then, last = capsys.readouterr().out.splitlines()
    assert last == f"wrote {folder / 'index.html'}"
    with (folder / "suggest.csv").open() as file:
        rows = list(csv.DictReader(file))
    chosen = [row["scan"] for row in rows]
    assert [line.split()[:2] for line in scans] == [[str(n), one] for n, one in enumerate(chosen, 1)]
    assert chosen[0] == ODD and rows[0]["nearest"] in LABELLED
    assert len(set(chosen)) == 3 and not set(chosen) & set(LABELLED)
    assert all(row["why"] for row in rows)
    page = (folder / "index.html").read_text()
    assert page.count("<img ") == 6 and page.count("data:image/png") == 6 and "://" not in page
    assert all(one in page for one in chosen)
    _train_with_the_list(tiny, folder / "labelled.txt", then, (*LABELLED, *chosen))


def _train_with_the_list(tiny: Any, listed: Path, then: str, expected: tuple[str, ...]) -> None:
    """What the command says comes next works as it is printed."""
    assert set(read_list(listed, TRAIN)) == set(expected)
    block = then[then.index("labelled: {") :]
    assert "RATIO=50 " in then
    manifest = tiny.manifest.read_text()
    tiny.manifest.write_text(manifest.replace("simulate: {},", f"simulate: {{}}, {block},"))
    flags = [word for setting in TINY for word in ("--set", setting)]
    assert main(tiny.arguments("run", "--method", "supervised", "--ratio", "50", *flags)) == 0
    split = LabelledSplit.load(tiny.run("supervised-demo-r50-s0") / "split.json")
    assert split.protocol == "lists" and set(split.labelled) == set(expected)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which the command ends."""
    capsys.readouterr()
    assert main(arguments) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    return line


def test_bad_input_is_one_line_and_too_many_are_all(tiny: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert "config.json is missing" in refused(suggest(tiny), capsys)
    assert main(tiny.training()) == 0
    assert "at least 1, got 0" in refused(suggest(tiny, "--count", "0"), capsys)
    assert main(suggest(tiny, "--count", "99", "--into", str(tiny.root / "out"))) == 0
    printed = capsys.readouterr().out
    assert "there are no more than 8 unlabelled scans; 99 were asked for" in printed
    assert len((tiny.root / "out" / "suggest.csv").read_text().splitlines()) == 9


def test_an_unfinished_run_and_a_run_with_every_label_are_refused(tiny: Any, capsys: Any) -> None:
    assert main(tiny.training()) == 0
    run = tiny.run("supervised-demo-r20-s0")
    (run / "model.safetensors").unlink()
    sorted((run / "checkpoints").iterdir())[-1].unlink()
    assert "is not trained to its end" in refused(suggest(tiny), capsys)
    assert not (run / "suggest").exists()
    assert main(tiny.training("--ratio", "100")) == 0
    arguments = tiny.arguments("suggest", "--method", "supervised", "--ratio", "100")
    assert "each of the 10 training scans" in refused(arguments, capsys)


def test_colours_run_from_sure_to_unsure() -> None:
    found = entropy_colours(np.array([0.0, BRIGHTEST / 2, BRIGHTEST, 1.0]))
    assert [tuple(row) for row in found.tolist()] == [SURE, (158, 115, 65), UNSURE, UNSURE]


def test_reasons_are_the_figures_above_the_average_the_strongest_first() -> None:
    found = Suggestions((), ("0/1",), 9)
    figures = replace(scan([1], [[0]]), disagreement=0.125)
    one = Suggestion(1, figures, Pick(0, 1.0, 1.0, 0, (1.2, 2.0, 0.8)), "wall", "0/1")
    assert why(one, found) == (
        "12.5 % of its points change class if it is turned (2.0 times the average); "
        "unsure, mostly at wall (1.2 times the average)"
    )
    far = replace(one, pick=replace(one.pick, relative=(1.0, 0.5, 1.5)))
    assert why(far, found) == "far from 0/1, the nearest labelled scan (1.5 times the average)"
    assert why(replace(one, pick=replace(one.pick, relative=(1.0, 1.0, 1.0))), found) == (
        "no figure is above the average"
    )


def stand_in_run(*train: str) -> Any:
    """A run that learnt 0/0 and 0/1 with labels and 0/2 without; `train` are the scans that are there now."""
    return SimpleNamespace(
        split=LabelledSplit("nested", 50.0, 0, ("0/0", "0/1"), ("0/2",)),
        pairs=SimpleNamespace(splits={"train": train}, folder=Path("artifacts/tiny")),
        folder=SimpleNamespace(path=Path("runs/one")),
    )


def test_scans_that_joined_the_data_may_be_chosen_and_scans_that_left_may_not() -> None:
    assert training_scans(stand_in_run("0/1", "0/7")) == (["0/1"], ["0/7"])
    with pytest.raises(DataError, match="none of the 2 labelled scans of runs/one"):
        training_scans(stand_in_run("0/7"))


def test_a_network_that_diverged_is_one_line(tiny: Any, monkeypatch: Any, capsys: Any) -> None:
    assert main(tiny.training()) == 0
    trained = Run.trained_predictor

    def diverged(run: Run) -> nn.Module:
        network = trained(run)
        for weights in network.parameters():
            weights.data.fill_(float("nan"))
        return network

    monkeypatch.setattr(Run, "trained_predictor", diverged)
    assert "gives no numbers for the scan 0/" in refused(suggest(tiny), capsys)
