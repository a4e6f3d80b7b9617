from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np

from lass3d_core.labels import LabelSpace
from train.report.tables import (
    RunResult,
    Setting,
    confusion_map,
    headline,
    per_class_table,
    plain_table,
    settings_table,
    shares_of_truth,
)

_SPACE = LabelSpace(
    ("ground", "wall", "lamp", "moon"),
    {1: 0, 2: 1, 3: 2, 4: 3},
    (1, 2, 3, 4),
    tuple((i, i, i) for i in range(4)),
)
_MATRIX = np.array([[6, 2, 0, 0], [0, 4, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]])


def _cells(table: str, row: str) -> list[str]:
    (line,) = re.findall(rf"<tr><th[^>]*>(?:<span[^>]*></span>)?{row}</th>(.*?)</tr>", table)
    return re.findall(r'class="figure">([^<]*)<', line)


def test_iou_and_both_means_by_hand() -> None:
    table = per_class_table([RunResult("own", _MATRIX)], _SPACE)
    assert _cells(table, "ground") == ["66.7"]
    assert _cells(table, "wall") == ["57.1"]
    assert _cells(table, "lamp") == ["0.0"]
    assert _cells(table, "mean over classes that occur") == ["41.3"]
    assert _cells(table, "mean, absent classes as 0") == ["31.0"]
    assert _cells(table, "points right") == ["71.4"]


def test_a_class_that_occurs_nowhere_is_named_below_the_table() -> None:
    table = per_class_table([RunResult("own", _MATRIX)], _SPACE)
    assert "Neither true nor predicted: moon." in table


def test_a_class_that_another_run_predicts_has_a_row_with_a_dash() -> None:
    other = _MATRIX.copy()
    other[0, 3] = 1
    assert _cells(per_class_table([RunResult("own", _MATRIX), RunResult("b", other)], _SPACE), "moon") == [
        "–",
        "0.0",
    ]


def test_the_best_run_is_bold_and_a_tie_is_not() -> None:
    better = _MATRIX.copy()
    better[0] = [8, 0, 0, 0]
    table = per_class_table([RunResult("own", _MATRIX), RunResult("b", better)], _SPACE)
    assert re.search(r'ground</th>.*?<b class="figure">88.9</b>', table)
    assert not re.search(r"<b [^>]*>0\.0</b>", table)


def test_rows_of_the_confusion_are_shares_of_the_truth() -> None:
    shares = shares_of_truth(_MATRIX)
    np.testing.assert_allclose(shares[0], [0.75, 0.25, 0, 0])
    np.testing.assert_allclose(shares[3], 0)


def test_the_confusion_map_is_well_formed_and_leaves_absent_classes_out() -> None:
    drawn = ElementTree.fromstring(confusion_map(_MATRIX, _SPACE))
    titles = [title.text for title in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == 9
    assert "25.0% of ground predicted as wall" in titles
    assert not any("moon" in title for title in titles)


def test_names_and_values_are_escaped_everywhere() -> None:
    bad = "<i>&"
    for written in (
        headline([(bad, bad, bad)]),
        plain_table((bad, bad), [(bad, bad)]),
        settings_table([Setting(bad, bad, bad)]),
        per_class_table([RunResult(bad, _MATRIX)], _SPACE),
    ):
        assert "<i>" not in written
        ElementTree.fromstring(f"<div>{written}</div>")


def test_a_setting_that_differs_shows_the_papers_value() -> None:
    table = settings_table([Setting("alpha", "0.95", "0.999"), Setting("tau_r", "0.9")])
    assert table.count('class="differs"') == 1
    assert "paper: 0.999" in table
