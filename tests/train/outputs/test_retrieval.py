from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.errors import CorruptArtifact, MissingArtifact
from train.outputs.retrieval import LEVELS, Retrieval, average_precision, levels, retrieval_table

SCORE = Retrieval("run", "val", ("traffic-sign", "bus"), ("traffic sign", "bus"), (0.25, None), (1.0, 0.0),
                  0.25, 1.0, 2, 600)  # fmt: skip


def counts(similarity: list[float], of_class: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """found and seen of points with these similarities, of which some are of the class."""
    level = levels(np.array(similarity))
    return (
        np.bincount(level, np.array(of_class), minlength=LEVELS).astype(np.int64),
        np.bincount(level, minlength=LEVELS),
    )


def test_hand_worked_average_precision() -> None:
    # In order: right, wrong, right, wrong. Precision 1 at the first, 2/3 at the third: (1 + 2/3) / 2.
    assert average_precision(*counts([0.1, 0.9, 0.5, 0.7], [0, 1, 1, 0])) == pytest.approx(5 / 6)


def test_points_of_equal_similarity_have_no_order() -> None:
    # One level of which half is right, before another point that is right: 1/2 * 1/2 + 2/3 * 1/2.
    for right in ([1, 0], [0, 1]):
        assert average_precision(*counts([0.5, 0.5, 0.2], [*right, 1])) == pytest.approx(1 / 4 + 1 / 3)


def test_the_same_similarity_everywhere_gives_the_share_of_the_class() -> None:
    assert average_precision(*counts([0.3] * 10, [1, 1, 1] + [0] * 7)) == pytest.approx(0.3)


def test_a_perfect_order_gives_one_and_the_reverse_little() -> None:
    similarity = np.linspace(-1, 1, 100).tolist()
    assert average_precision(*counts(similarity, [0] * 90 + [1] * 10)) == 1
    assert average_precision(*counts(similarity, [1] * 10 + [0] * 90)) < 0.06


def test_a_class_that_does_not_occur_has_none() -> None:
    assert np.isnan(average_precision(*counts([0.1, 0.2], [0, 0])))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=1, max_size=40).filter(
        lambda points: any(right for _, right in points)
    )
)
def test_average_precision_is_its_twin_threshold_by_threshold(points: list[tuple[int, bool]]) -> None:
    found = average_precision(*counts([level / 5 for level, _ in points], [right for _, right in points]))
    total, recall = sum(right for _, right in points), 0.0
    expected = 0.0
    for threshold in sorted({level for level, _ in points}, reverse=True):
        taken = [right for level, right in points if level >= threshold]
        expected += sum(taken) / len(taken) * (sum(taken) / total - recall)
        recall = sum(taken) / total
    assert found == pytest.approx(expected)


def test_levels_keep_the_order_and_the_ends() -> None:
    assert levels(np.array([-1.0, 1.0, 1.0001, -1.0001])).tolist() == [0, LEVELS - 1, LEVELS - 1, 0]
    assert (np.diff(levels(np.linspace(-1, 1, 1000))) > 0).all()


def test_a_score_comes_back_from_its_file(tmp_path: Path) -> None:
    SCORE.save(tmp_path / "retrieval-val.json")
    assert Retrieval.load(tmp_path / "retrieval-val.json") == SCORE


def test_best_found_classes_come_first_and_absent_ones_not_at_all() -> None:
    score = replace(
        SCORE,
        queries=("road", "bus", "sign"),
        average_precision=(0.5, None, 0.75),
        share=(0.9, 0.0, 0.1),
    )
    assert score.best_found() == [("sign", 0.75, 0.1), ("road", 0.5, 0.9)]


def test_a_score_that_is_missing_or_damaged_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "retrieval-val.json"
    with pytest.raises(MissingArtifact, match="make query SCORE=1"):
        Retrieval.load(path)
    path.write_text('{"mean": 1}')
    with pytest.raises(CorruptArtifact, match="delete it"):
        Retrieval.load(path)


def test_the_table_is_in_per_cent_with_a_dash_for_what_does_not_occur() -> None:
    first, second, last = retrieval_table(SCORE).splitlines()
    assert first == "  traffic sign  25.0  chance 100.0  600 points"
    assert second == "  bus              -  chance  0.0  0 points"
    assert last.startswith("val: mAP 25.0 %") and "chance 100.0 %; 600 points of 2 scans," in last


def test_the_table_says_that_scans_without_labels_were_left_out() -> None:
    last = retrieval_table(replace(SCORE, split_scans=5)).splitlines()[-1]
    assert "600 points of 2 scans (2 of 5 scans of val have labels)" in last
