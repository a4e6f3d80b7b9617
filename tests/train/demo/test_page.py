"""The page of the demo, the scan that it asks, and the commands that it ends with, on the tiny project."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lass3d_core.manifest.reading import read_manifest
from lass3d_core.model.predict import Prediction
from tests.train.demo.test_runs import tiny_plans
from tests.train.report.test_page import Page, Pictures
from train.demo.next_commands import next_commands
from train.demo.page import write_demo_page
from train.demo.question import scan_to_ask
from train.demo.runs import train_all
from train.outputs.query import Answer


@pytest.fixture
def runs(tiny):
    """Title -> run, trained for two steps."""
    plans = tiny_plans(tiny)
    train_all(plans, at_most=2)
    return {plan.title: plan.open() for plan in plans}


def answer_of(run, scan_id: str) -> Answer:
    scan = run.pairs.read(scan_id)
    likeness = np.linspace(0, 1, len(scan.points), dtype=np.float32)
    return Answer("a lamp", scan, likeness, Prediction(np.zeros(len(scan.points), np.uint8), likeness))


def test_the_page_shows_the_scan_first_then_the_comparison_and_then_the_commands(
    runs, tmp_path: Path
) -> None:
    run, path = runs["LASS3D+"], tmp_path / "demo.html"
    commands = ["make runs", 'make query TEXT="a <tree>"']
    write_demo_page(path, runs, answer_of(run, "1/0"), Pictures(tmp_path), commands)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    places = [text.index(part) for part in ('data-mode="prediction"', 'id="comparison"', 'id="next"')]
    assert places == sorted(places)
    assert 'data-mode="likeness"' in text and 'data-mode="truth"' in text
    assert all(title in page.words for title in runs) and "within the noise" in page.words
    assert "a <tree>" in page.words and "://" not in text


def test_the_scan_that_is_asked_shows_what_the_question_names(runs) -> None:
    run = runs["LASS3D+"]
    assert scan_to_ask(run, "a wall") == run.pairs.splits["val"][0]
    assert scan_to_ask(run, "a word that names no class") == run.pairs.splits["val"][0]


def test_the_next_commands_name_what_make_would_not_take_by_itself(runs, tiny, monkeypatch) -> None:
    monkeypatch.chdir(tiny.root)
    manifest, _ = read_manifest(tiny.manifest)
    file = SimpleNamespace(points=[SimpleNamespace(path=tiny.root / "a cloud.bin")])
    dataset = SimpleNamespace(input_files=lambda scan_id: file)
    plain = next_commands(runs["LASS3D+"], manifest, Path("data_manifest.yaml"), dataset, "1/0")
    assert plain[0] == "make runs" and not any("MANIFEST" in line or "DATASET" in line for line in plain)
    assert "INPUT=a cloud.bin" in shlex.split(plain[2])
    other = next_commands(runs["LASS3D+"], manifest, Path("my manifest.yaml"), dataset, "1/0")
    assert all("MANIFEST=my manifest.yaml" in shlex.split(other[place]) for place in (0, 1, 3))
    assert shlex.split(other[1])[-3:-1] == ["RUN=runs/tiny/lass3d_plus-demo-r20-s0", "TEXT=a tree"]
