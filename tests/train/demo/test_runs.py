from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lass3d_core.errors import Lass3dError
from lass3d_core.files.splits import LabelledSplit
from lass3d_core.manifest.reading import read_manifest
from train.config import with_settings
from train.demo.runs import demo, demo_plans, demo_ratio, train_all
from train.runs.side_by_side import PlannedRun

TINY = [
    "schedule.steps=2", "net.stem=4", "net.encoder=[6, 6, 6]", "net.decoder=[6, 6, 6]",
]  # fmt: skip


def tiny_plans(tiny) -> list[PlannedRun]:
    manifest, dataset = read_manifest(tiny.manifest)
    plans = demo_plans(manifest, dataset, 20.0, 0)
    return [replace(plan, config=with_settings(plan.config, TINY)) for plan in plans]


def test_the_demo_compares_the_paper_and_our_extension_with_labels_alone(tiny) -> None:
    supervised, lass3d, plus = tiny_plans(tiny)
    methods = [plan.config.method_name for plan in (supervised, lass3d, plus)]
    assert methods == ["supervised", "lass3d", "lass3d_plus"]
    assert lass3d.config.method.captions == "both" and plus.config.method.query.weight > 0
    assert len({plan.folder for plan in (supervised, lass3d, plus)}) == 3
    assert supervised.config.schedule == lass3d.config.schedule == plus.config.schedule


def test_runs_side_by_side_share_their_labelled_scans(tiny) -> None:
    plans = tiny_plans(tiny)[:2]
    train_all(plans, at_most=2)
    runs = [plan.open() for plan in plans]
    assert all(run.is_finished for run in runs)
    assert len({LabelledSplit.load(run.folder.split).labelled for run in runs}) == 1


def test_a_failing_run_is_named_with_its_reason(tiny) -> None:
    plan = tiny_plans(tiny)[0]
    plan.folder.parent.mkdir(parents=True)
    plan.folder.write_text("a file where a folder should be")
    with pytest.raises(Lass3dError, match=r"supervised-demo-r20-s0 failed: .*a file, not a folder"):
        train_all([plan], at_most=1)


def test_the_list_of_runs_holds_wherever_the_folder_lies(tiny, monkeypatch, capsys) -> None:
    manifest, dataset = read_manifest(tiny.manifest)
    monkeypatch.setattr("train.demo.runs.train_all", lambda plans, at_most: None)
    demo(manifest, dataset, 20.0, 0, processes=1)
    listed = json.loads((tiny.root / "runs" / "tiny" / "demo.json").read_text())
    assert listed["LASS3D+"] == "lass3d_plus-demo-r20-s0"
    assert capsys.readouterr().out == "training 3 of 3 runs\n"


def test_rooms_have_more_labels_than_streets() -> None:
    manifest, _ = read_manifest(Path(__file__).parents[3] / "data_manifest.yaml")
    assert demo_ratio(manifest.datasets["street"]) == demo_ratio(manifest.datasets["street_four"]) == 2.0
    assert demo_ratio(manifest.datasets["room"]) == 5.0
