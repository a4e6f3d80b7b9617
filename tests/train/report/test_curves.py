from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.report.curves import Chart, Curve, chart, describe, ticks
from train.report.render import render

_STEPS = np.arange(60.0)


def _drawn(chart: Chart) -> ElementTree.Element:
    """The chart as the page shows it."""
    return ElementTree.fromstring(render("chart.html", chart=chart))


def _kinds(chart: Chart) -> list[tuple[int, bool]]:
    return [(line.rank, line.faint) for line in chart.lines]


def test_a_chart_is_well_formed_whatever_its_title_and_names() -> None:
    curve = Curve('<script>"&', _STEPS, np.sin(_STEPS))
    parsed = _drawn(chart("a < b & c", [curve], unit="<m>"))
    assert parsed.find("figcaption").text == "a < b & c"
    assert '<script>"&' in parsed.find("svg").get("aria-label")


def test_steps_that_were_not_measured_are_left_out() -> None:
    values = np.full(60, np.nan)
    values[[19, 39, 59]] = [0.1, 0.2, 0.3]
    (line,) = chart("mIoU", [Curve("run", _STEPS, values)]).lines
    assert line.path.count("L") == 2


@pytest.mark.parametrize("values", [np.array([]), np.array([np.nan, np.nan])])
def test_a_quantity_without_a_value_is_said_to_be_absent(values: np.ndarray) -> None:
    drawn = _drawn(chart("mIoU", [Curve("run", np.arange(len(values), dtype=float), values)]))
    assert "Not recorded" in drawn.find("p").text
    assert drawn.find("svg") is None


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-9, 1e9])
def test_a_constant_and_a_single_value_can_be_drawn(value: float) -> None:
    for count in (1, 5):
        drawn = chart("constant", [Curve("run", np.arange(float(count)), np.full(count, value))])
        assert "nan" not in drawn.lines[0].path and "inf" not in drawn.lines[0].path
        _drawn(drawn)


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_measurements_are_dots_without_a_line(count: int) -> None:
    """Two joined by a line look like a trend."""
    drawn = _drawn(chart("mIoU", [Curve("run", _STEPS[:count], _STEPS[:count])]))
    assert len(list(drawn.iter("circle"))) == count and not list(drawn.iter("path"))


def test_three_measurements_are_joined() -> None:
    drawn = _drawn(chart("mIoU", [Curve("run", _STEPS[:3], _STEPS[:3])]))
    assert len(list(drawn.iter("circle"))) == 3 and len(list(drawn.iter("path"))) == 1


@pytest.mark.parametrize(
    ("first", "last", "labels"),
    [
        (0, 149, ["0", "50", "100", "149"]),
        (0, 299, ["0", "100", "200", "299"]),
        (0, 209, ["0", "50", "100", "150", "209"]),  # 200 would touch 209
        (0, 100, ["0", "25", "50", "75", "100"]),
    ],
)
def test_the_labels_of_the_steps_end_at_the_last_step(first: int, last: int, labels: list[str]) -> None:
    steps = np.arange(first, last + 1.0)
    drawn = chart("loss", [Curve("run", steps, steps)])
    assert [label for _, label in drawn.steps] == labels
    assert drawn.steps[-1][0] == Chart.right


def test_smoothing_keeps_the_raw_values_of_the_own_run_alone() -> None:
    curves = [Curve("own", _STEPS, np.sin(_STEPS), rank=0), Curve("other", _STEPS, np.cos(_STEPS), rank=1)]
    assert _kinds(chart("loss", curves, smooth=True)) == [(1, False), (0, True), (0, False)]


def test_smoothing_a_straight_line_leaves_its_middle_where_it_was() -> None:
    plain, smooth = (
        chart("loss", [Curve("own", _STEPS, 2 * _STEPS + 1)], smooth=flag).lines[-1].path.split("L")
        for flag in (False, True)
    )
    assert plain[20:40] == smooth[20:40]


def test_the_own_run_is_drawn_last_and_so_on_top() -> None:
    curves = [
        Curve("own", _STEPS, _STEPS, 0),
        Curve("b", _STEPS, -_STEPS, 1),
        Curve("c", _STEPS, 2 * _STEPS, 2),
    ]
    assert _kinds(chart("loss", curves)) == [(2, False), (1, False), (0, False)]


def test_the_description_names_both_ends() -> None:
    words = describe([Curve("LASS3D", np.array([0.0, 299.0]), np.array([2.5, 0.25]))])
    assert words == "LASS3D goes from 2.5 at step 0 to 0.25 at step 299"


@settings(max_examples=50, deadline=None)
@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-6, 1e6))
def test_ticks_are_few_and_inside(low: float, span: float) -> None:
    high = low + span
    found = ticks(low, high)
    assert 2 <= len(found) <= 5
    assert low - 1e-6 * span <= found[0] < found[-1] <= high + 1e-6 * span
