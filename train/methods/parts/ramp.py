"""The rise of a term's weight: a method begins with the labels and comes to its own predictions later."""

from __future__ import annotations


def ramp(step: int, ramp_steps: int) -> float:
    """The factor of a weight in `step`: min(1, (step + 1) / ramp_steps), and 0 before step 0.

    step: counted from the first step that has the term. ramp_steps: 0 for no ramp: the factor is 1.
    Decision: a line. Mean Teacher's paper has exp(-5 (1 - t)^2). Both begin near 0 and end at 1, and a line
    has no number of its own.
    """
    return max(0.0, min(1.0, (step + 1) / max(1, ramp_steps)))
