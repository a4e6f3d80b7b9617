"""Phrases whose words name classes that the labels contradict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lass3d_core.files.splits import LabelledSplit
from lass3d_core.records import PairedScan
from train.__main__ import main
from train.data.contradictions import LEAST_SHARE, MOST_LINES, Contradictions
from train.data.paired_scans import PairedScans
from train.data.phrase_counts import phrase_counts
from train.methods.parts.label_prior import LabelPriorConfig, meaning_of
from train.runs.logs import read_log
from train.runs.run_folder import RunFolder

CLASSES = ("car", "person", "tree")
PHRASES = ("a car", "a man", "thing", "plants")
MEANS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 1, 1]], bool)


def lines(*scenes: dict[int, tuple[float, float, float]]) -> tuple[str, ...]:
    """Of scenes, each with the points by class of some phrases."""
    found = Contradictions(MEANS)
    for scene in scenes:
        counts = np.zeros((4, 3))
        for phrase, points in scene.items():
            counts[phrase] = points
        found.add(counts)
    return found.lines(PHRASES, CLASSES)


def test_a_name_is_contradicted_by_two_scenes() -> None:
    # 7 of 100 and 7 of 100 points are cars, 93 % are persons.
    assert lines({0: (7, 93, 0)}, {0: (7, 93, 0)}) == (
        'the phrase "a car" names car, but on 2 labelled scenes 93% of its points are person; '
        "look at `make audit`",
    )


@pytest.mark.parametrize(
    ("scenes", "is_contradicted"),
    [
        ([(0, 900, 0)], False),  # one scene may be an accident
        ([(0, 900, 0), (0, 20, 0)], False),  # twenty points judge nothing
        ([(0, 900, 0), (0, 30, 0)], True),
        ([(100 * LEAST_SHARE, 80, 0)] * 2, False),  # a fifth is enough
        ([(100 * LEAST_SHARE - 1, 81, 0)] * 2, True),
        ([(0, 100, 0), (0, 100, 0), (100, 0, 0), (100, 0, 0)], False),  # as many agree
        ([(0, 100, 0), (0, 100, 0), (1e6, 0, 0)], True),  # scenes count, however many points they have
    ],
)
def test_a_phrase_is_contradicted_by_most_scenes(
    scenes: list[tuple[float, float, float]], is_contradicted: bool
) -> None:
    assert bool(lines(*({0: scene} for scene in scenes))) == is_contradicted


def test_any_of_the_classes_that_a_phrase_names_speaks_for_it_and_none_is_the_other() -> None:
    assert lines({3: (0, 0, 100)}, {3: (0, 100, 0)}) == ()
    (line,) = lines({3: (90, 5, 5)}, {3: (90, 10, 0)})
    assert line.startswith('the phrase "plants" names person and tree, but on 2 labelled scenes 90% of its')


def test_a_phrase_that_names_nothing_is_not_contradicted() -> None:
    assert lines({2: (0, 0, 100)}, {2: (100, 0, 0)}) == ()


def test_at_most_five_lines_are_said_and_those_with_most_points_first() -> None:
    count = MOST_LINES + 2
    found = Contradictions(np.eye(2, dtype=bool)[np.zeros(count, int)])
    for _ in range(2):
        found.add(np.stack([np.zeros(count), 100.0 + np.arange(count)], axis=1))
    said = found.lines([f"car {number}" for number in range(count)], ("car", "person"))
    assert [line.split('"')[1] for line in said] == [
        f"car {count - 1 - place}" for place in range(MOST_LINES)
    ]


def exchanged(scan: PairedScan) -> PairedScan:
    """Walls are called lamps and lamps walls."""
    return replace(scan, pairs=replace(scan.pairs, phrases=("the ground", "a lamp", "a wall")))


EXCHANGED = tuple(
    f'the phrase "a {one}" names {one}, but on 2 labelled scenes 100% of its points are {other}; '
    "look at `make audit`"
    for one, other in (("lamp", "wall"), ("wall", "lamp"))
)


def test_two_names_exchanged_throughout_are_both_noticed(
    tiny: Any, rewrite_tiny: Callable[..., None]
) -> None:
    """As the words are, nothing is said."""
    right = phrase_counts(PairedScans.open(tiny.artifacts), ("0/3", "0/4"), {})
    rewrite_tiny(tiny, exchanged)
    wrong = phrase_counts(PairedScans.open(tiny.artifacts), ("0/3", "0/4"), {})
    assert right.contradictions == () and wrong.contradictions == EXCHANGED
    assert wrong.without(0).contradictions == EXCHANGED


def test_a_run_with_two_names_exchanged_says_so_once_and_the_scenes_outvote_them(
    tiny: Any, rewrite_tiny: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite_tiny(tiny, exchanged)
    assert main(tiny.training("--set", "schedule.steps=2", method="lass3d_plus")) == 0
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if line.startswith("the phrase")] == list(EXCHANGED)
    run = RunFolder(tiny.run("lass3d_plus-demo-r20-s0"))
    assert {"phrases_right", "phrase_trust"} <= read_log(run.path / "log.csv")[0].keys()
    labelled = LabelledSplit.load(run.split).labelled
    told = phrase_counts(PairedScans.open(tiny.artifacts), labelled, {})
    assert meaning_of(told, LabelPriorConfig()).argmax(dim=1).tolist() == [0, 2, 1]
