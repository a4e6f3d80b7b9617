from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.tables.statistics import Interval, differences, interval, verdict


def test_two_values_worked_by_hand() -> None:
    """50 and 54: mean 52, deviation sqrt(8), standard error 2, times 12.706."""
    found = interval([50.0, 54.0])
    assert found is not None
    assert (found.mean, found.count) == (52.0, 2)
    assert found.half == pytest.approx(25.412, abs=1e-3)


def test_three_values_worked_by_hand() -> None:
    """1, 2, 3: deviation 1, standard error 1/sqrt(3) = 0.57735, times 4.303."""
    found = interval([1.0, 2.0, 3.0])
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(-0.484, abs=1e-3), pytest.approx(4.484, abs=1e-3))


def test_five_values_worked_by_hand() -> None:
    """2, 4, 4, 4, 6: squares about the mean sum to 8, variance 2, error sqrt(2/5) = 0.63246, times 2.776."""
    found = interval([2.0, 4.0, 4.0, 4.0, 6.0])
    assert found is not None
    assert found.half == pytest.approx(1.756, abs=1e-3)


def test_the_published_interval_of_three_seeds_is_found_again() -> None:
    """docs/results-demo.md: -12.5, -11.9, -3.9 have mean -9.4 and an interval of -21.4 to 2.5."""
    found = interval([-12.5, -11.9, -3.9])
    assert found is not None
    assert found.mean == pytest.approx(-9.4, abs=0.05)
    assert (found.low, found.high) == (pytest.approx(-21.4, abs=0.1), pytest.approx(2.5, abs=0.1))


def test_no_value_has_no_interval_and_one_value_bounds_nothing() -> None:
    assert interval([]) is None
    alone = interval([61.0])
    assert alone == Interval(61.0, math.inf, 1)
    assert verdict(alone) == "not distinguishable"


def test_only_seeds_that_both_have_are_paired() -> None:
    assert differences({2: 5.0, 0: 3.0, 1: 4.0}, {0: 1.0, 2: 7.0, 9: 0.0}) == {0: 2.0, 2: -2.0}


@pytest.mark.parametrize(
    ("gaps", "said"),
    [
        ([3.0, 4.0, 5.0], "holds"),  # 4 -+ 2.48
        ([-3.0, -4.0, -5.0], "does not hold"),
        ([1.0, 2.0, 3.0], "not distinguishable"),  # 2 -+ 2.48
        ([0.0, 0.0], "not distinguishable"),
        ([], "not run"),
    ],
)
def test_a_verdict_needs_an_interval_without_zero(gaps: list[float], said: str) -> None:
    assert verdict(interval(gaps)) == said


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=9), st.floats(-50, 50))
def test_shifting_all_values_shifts_the_interval(values: list[float], shift: float) -> None:
    here, there = interval(values), interval([value + shift for value in values])
    assert here is not None and there is not None
    assert there.mean == pytest.approx(here.mean + shift, abs=1e-6)
    assert there.half == pytest.approx(here.half, rel=1e-3, abs=1e-6)
