"""The stress test of benchmarks/experiments/wrong_phrases.py."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.experiments import wrong_phrases
from benchmarks.experiments.right_phrases import RightPhrases
from benchmarks.experiments.wrong_phrases import CONTROL, WrongPhrases, plans_of, table
from lass3d_core.errors import DataError
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.records import NONE
from lass3d_core.words.lexicon import Lexicon
from train.data.paired_scans import PairedScans
from train.demo.runs import train_all
from train.evaluate import Metrics

TINY = ("schedule.steps=2", "net.stem=4", "net.encoder=[6, 6, 6]", "net.decoder=[6, 6, 6]")


def test_phrases_are_exchanged_in_the_same_way_at_every_read_and_some_scans_are_spared(tiny) -> None:
    pairs = PairedScans.open(tiny.artifacts)
    train = pairs.splits["train"]
    wrong = WrongPhrases.of(pairs, 0.5, train[:1], seed=0)
    exchanged, again, right = ([one.read(scan).pairs for scan in train] for one in (wrong, wrong, pairs))
    assert exchanged[0].phrases == right[0].phrases
    share = np.mean([a != b for w, r in zip(exchanged[1:], right[1:]) for a, b in zip(w.phrases, r.phrases)])
    assert 0.1 < share < 0.6  # a random phrase of three is the right one in a third of the draws
    assert [pairs.phrases for pairs in exchanged] == [pairs.phrases for pairs in again]
    assert all(np.array_equal(w.entity, r.entity) for w, r in zip(exchanged, right))


def test_a_stressed_run_trains_and_is_told_from_the_ordinary_one(tiny) -> None:
    manifest, dataset = read_manifest(tiny.manifest)
    plans = plans_of(manifest, dataset, "demo", 20.0, 0, TINY, ())
    stressed, ordinary = plans["all"], plans["plus"]
    run = stressed.open()
    assert run.config == ordinary.config
    assert run.saved.digest != ordinary.open().saved.digest
    train_all([stressed], at_most=1)
    assert stressed.open().is_finished
    assert Metrics.load(run.folder.metrics("test")).steps == 2


def test_right_phrases_name_the_class_of_every_point_that_has_one(tiny) -> None:
    pairs = PairedScans.open(tiny.artifacts)
    right, lexicon = RightPhrases.of(pairs), Lexicon(pairs.header.class_names, {})
    named = 0
    for scan_id in pairs.splits["train"]:
        before, scan = pairs.read(scan_id), right.read(scan_id)
        has_phrase = scan.pairs.entity != NONE
        assert scan.labels is not None and not np.any(has_phrase & (before.pairs.entity == NONE))
        names = [lexicon.classes_of(phrase) for phrase in scan.pairs.phrases]
        assert all(names[e] == {c} for e, c in zip(scan.pairs.entity[has_phrase], scan.labels[has_phrase]))
        named += np.count_nonzero(has_phrase)
    assert named
    assert right.training_digest != pairs.training_digest


def test_a_scan_without_labels_has_no_right_phrases(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = PairedScans.open(tiny.artifacts)
    (scan_id, *_) = pairs.splits["train"]
    bare = replace(pairs.read(scan_id), labels=None)
    monkeypatch.setattr(PairedScans, "read", lambda self, scan_id: bare)
    with pytest.raises(DataError, match="has no labels"):
        RightPhrases.of(pairs).read(scan_id)


def test_a_run_on_right_phrases_trains_and_is_told_from_the_ordinary_one(tiny) -> None:
    manifest, dataset = read_manifest(tiny.manifest)
    plans = plans_of(manifest, dataset, "demo", 20.0, 0, TINY, ())
    assert plans["right"].open().saved.digest != plans["plus"].open().saved.digest
    train_all([plans["right"]], at_most=1)
    assert plans["right"].open().is_finished


def test_the_table_pairs_each_row_with_the_control_by_seed() -> None:
    miou = {(CONTROL, 0): 50.0, (CONTROL, 1): 60.0, ("wrong", 0): 40.0, ("wrong", 1): 50.0}
    assert table(miou).splitlines()[-1].split()[:3] == ["wrong", "45.0", "-10.0"]


@pytest.mark.slow
def test_the_experiment_goes_on_from_its_committed_figures(
    tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs do not outlast a machine: their folders are gone, and nothing is trained twice."""
    given = ["--manifest", str(tiny.manifest), "--ratio", "20", "--preset", "demo", "--set", *TINY]
    given += ["--rows", "control", "30", "--figures", str(tmp_path)]

    def told(*seeds: str) -> str:
        monkeypatch.setattr(sys, "argv", ["wrong_phrases", *given, "--seeds", *seeds])
        capsys.readouterr()
        wrong_phrases.main()
        return capsys.readouterr().out

    first = told("0")
    runs = read_manifest(tiny.manifest)[0].runs
    shutil.rmtree(runs)
    assert told("0") == first and not runs.exists()
    told("1")
    assert list(runs.rglob("*-s1-wrong-30")) and not list(runs.rglob("*-s0*"))
    shutil.rmtree(runs)
    told("0", "1")
    (page,) = tmp_path.rglob("wrong-phrases.md")
    assert "seeds 0, 1, test split" in page.read_text() and not runs.exists()
