"""A tiny network with a query head, from training to the answer, as the command line does it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lass3d_core.clouds.ply import read_ply
from lass3d_core.files.query_texts import write_asked
from lass3d_core.model.predict import Prediction
from train.__main__ import main
from train.config import SavedRun
from train.outputs.query import LIKE, UNLIKE, Answer, colours
from train.outputs.query_command import file_name
from train.outputs.retrieval import Retrieval
from train.runs.checkpoint import load_latest

TINY = (
    "schedule.steps=40",
    "schedule.validate_every=40",
    "schedule.checkpoint_every=40",
    "net.stem=6",
    "net.encoder=[6, 6, 6]",
    "net.decoder=[6, 6, 6]",
)
NOTHING = Prediction(np.zeros(5, np.uint8), np.ones(5, np.float32))
FOUND = ("ground", "wall", "lamp")
"""The names of the classes, which the text table of the tiny data has only as "the ground", "a wall", ..."""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, _built: Any) -> Any:
    """A trained run with a head, and rows of the class names. Not to be changed."""
    root = tmp_path_factory.mktemp("asked") / "project"
    shutil.copytree(_built.root, root)
    project = type(_built)(root)
    assert main(project.training(method="lass3d_plus", settings=TINY)) == 0
    write_asked(project.artifacts, dict(zip(FOUND, np.eye(3, 8))))
    return project


def query(project: Any, *more: str, method: str = "lass3d_plus") -> list[str]:
    return project.arguments("query", "--method", method, "--ratio", "20", *more)


def run_of(project: Any) -> Path:
    return project.run("lass3d_plus-demo-r20-s0")


def test_answer_is_a_cloud_and_a_page_and_the_last_line_says_so(asked: Any, make_tiny_scan, capsys) -> None:
    capsys.readouterr()
    assert main(query(asked, "--text", "a lamp", "--scan", "1/1")) == 0
    line = capsys.readouterr().out
    name = run_of(asked) / "queries" / "1_1-a-lamp"
    assert line.startswith(f"wrote {name}.ply and .html: 'a lamp' in 1/1, top similarity ")
    scan, vertex = make_tiny_scan("1/1", 101), read_ply(Path(f"{name}.ply"))["vertex"]
    assert np.array_equal(np.column_stack([vertex[axis] for axis in "xyz"]), scan.points)
    similarity = vertex["similarity"]
    assert f"top similarity {similarity.max():.2f}" in line
    assert similarity[scan.labels == 2].mean() > similarity[scan.labels == 0].mean() + 0.1
    best = vertex[similarity.argmax()]
    assert (best["red"], best["green"], best["blue"]) == LIKE
    page = Path(f"{name}.html").read_text()
    assert 'data-mode="likeness"' in page and "“a lamp”" in page and "://" not in page


def test_score_beats_chance_and_stands_on_the_page(asked: Any, capsys) -> None:
    capsys.readouterr()
    assert main(query(asked, "--score")) == 0
    printed = capsys.readouterr().out.splitlines()
    path = run_of(asked) / "retrieval-val.json"
    assert printed[-1] == f"wrote {path}"
    score = Retrieval.load(path)
    assert score.queries == FOUND and score.scans == 2 and score.points == 2 * 295
    assert sum(score.share) == pytest.approx(1) and score.chance == pytest.approx(1 / 3)
    assert score.mean > 1.5 * score.chance
    assert score.run_digest == SavedRun.load(run_of(asked) / "config.json").digest
    assert main(asked.arguments("report", "--method", "lass3d_plus", "--ratio", "20")) == 0
    words = re.sub(r"<[^>]*>", " ", (run_of(asked) / "report.html").read_text())
    assert "Asked by text" in words and f"{100 * score.mean:.1f}" in words


def test_the_head_leaves_the_segmenter_as_it_is(asked: Any, tiny: Any) -> None:
    """With it and without: the same weights to the last bit after every step."""
    without = ("method.query.weight=0", "method.ramp_steps=30")
    assert main(tiny.training(method="lass3d_plus", settings=(*TINY, *without))) == 0
    states = []
    for project in (asked, tiny):
        folder = run_of(project)
        digest = SavedRun.load(folder / "config.json").digest
        states.append(load_latest(folder / "checkpoints", digest).method)
    with_head, alone = states
    assert set(with_head) - set(alone) == {name for name in with_head if name.startswith("query_head.")}
    assert all(torch.equal(with_head[name], alone[name]) for name in alone)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), '--text "a parked car"'),
        (("--text", "a lamp"), "--scan"),
        (("--text", "a lamp", "--scan", "1/7"), "there is no scan '1/7'; did you mean '1/"),
        (("--text", "a spoon", "--scan", "1/1"), "no row of 'a spoon'; `make query DATASET=tiny`"),
        (("--score", "--split", "vall"), "no split 'vall'; did you mean 'val'"),
    ],
)
def test_a_wrong_question_is_one_line(asked: Any, capsys, more: tuple[str, ...], said: str) -> None:
    capsys.readouterr()
    assert main(query(asked, *more)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and said in lines[0], lines


def test_a_network_without_a_head_is_told_which_switch_it_lacks(tiny: Any, capsys) -> None:
    short = ("schedule.steps=2", "schedule.validate_every=2", *TINY[3:])
    assert main(tiny.training(settings=short)) == 0
    capsys.readouterr()
    assert main(query(tiny, "--text", "a lamp", "--scan", "1/1", method="supervised")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "without a head for queries" in line and "SET=method.query.weight=1" in line


def test_likeness_is_pale_up_to_the_median_and_full_at_the_top(make_tiny_scan) -> None:
    similarity = np.array([-0.5, 0.0, 0.1, 0.3, 0.5], np.float32)
    answer = Answer("a lamp", make_tiny_scan("1/1", 101), similarity, NOTHING)
    assert answer.likeness.tolist() == [0, 0, 0, 128, 255]
    assert [tuple(row) for row in colours(answer.likeness).tolist()][::4] == [UNLIKE, LIKE]


def test_a_scan_without_any_difference_is_pale(make_tiny_scan) -> None:
    same = Answer("a lamp", make_tiny_scan("1/1", 101), np.full(5, 0.3, np.float32), NOTHING)
    assert not same.likeness.any()


@pytest.mark.parametrize(
    ("text", "name"),
    [("A parked car!", "a-parked-car"), ("../../etc", "etc"), ("?", "text"), ("x" * 99, "x" * 40)],
)
def test_a_text_names_a_file_inside_the_folder(text: str, name: str) -> None:
    assert file_name(text) == name
