from __future__ import annotations

from dataclasses import replace

import pytest

from preprocess.audit.calibration import Alignment, Fit, Nudge
from preprocess.audit.verdict import LEAST_POINTS, LOW, described, verdict_of

YAW, PITCH, SIDE = Nudge("turn", "y", 2.0), Nudge("turn", "x", -1.0), Nudge("shift", "x", 0.6)


def found(
    score: float, error: float, best: tuple[float, float] = (1.0, -9.0), points: int = 4000, rivals: int = 0
) -> Alignment:
    """An alignment whose best nudge has this score and this lead over the given calibration."""
    return Alignment(
        images=4,
        points=points,
        given=Fit(score, (score - 1) / error),
        error=error,
        nudged={YAW: Fit(*best), PITCH: Fit(0.9, -9.0)},
        best=YAW,
        rivals=(PITCH, SIDE, Nudge("turn", "z", 1.0))[:rivals],
    )


@pytest.mark.parametrize(
    ("alignment", "reading", "warns"),
    [
        (found(1.31, 0.01), "fits", False),
        (found(1.13, 0.007), "low", False),  # surely low, and every change fits worse
        (found(1.13, 0.007, (1.14, 0.6)), "low", True),
        (found(1.13, 0.012, (1.14, 0.6)), "low", False),  # 1.154 is within two errors
        (found(1.12, 0.01, (1.25, 6.0)), "better elsewhere", True),
        (found(1.12, 0.01, (1.25, 4.5)), "low", True),
        (found(1.02, 0.01), "chance", True),
        (found(0.9, 0.01), "chance", True),
        (found(1.08, 0.03), "cannot tell", False),
        (found(1.31, 0.01, points=LEAST_POINTS - 1), "cannot tell", False),
        (found(0.0, 1.0), "cannot tell", False),
    ],
)
def test_the_reading_of_a_fit(alignment: Alignment, reading: str, warns: bool) -> None:
    verdict = verdict_of(alignment)
    assert (verdict.reading, verdict.warns) == (reading, warns)
    assert ("WARNING" in described(alignment)) == warns


def test_several_changes_that_fit_alike_are_all_named() -> None:
    words = described(found(1.1, 0.01, (1.3, 9.0), rivals=2))
    assert all(str(nudge) in words for nudge in (YAW, PITCH, SIDE)) and "others" not in words
    assert described(found(1.1, 0.01, (1.3, 9.0), rivals=3)).endswith("or others would fit better (1.30)")


def test_the_largest_change_that_is_tried_may_not_be_enough() -> None:
    words = described(replace(found(1.1, 0.01, (1.3, 9.0)), best=SIDE, nudged={SIDE: Fit(1.3, 9.0)}))
    assert f"{SIDE} or more would fit better" in words
    assert "or more" not in described(found(1.1, 0.01, (1.3, 9.0)))


def test_a_change_that_is_low_too_is_said_to_be() -> None:
    assert "is low too (1.06)" in described(found(0.9, 0.01, (1.06, 9.0)))
    assert "low too" not in described(found(0.9, 0.01, (LOW, 9.0)))


def test_what_cannot_be_told_has_its_error() -> None:
    assert "cannot tell: 1.08 +- 0.12 may be chance or a fit" in described(found(1.08, 0.03))
