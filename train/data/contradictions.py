"""Phrases whose words name classes that the labels contradict: names exchanged, or a word that misleads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from train.methods.parts.label_prior import SCENE_POINTS

LEAST_SHARE = 0.2
"""Of a phrase's points on a scene, that the named classes must have."""

LEAST_SCENES = 2
MOST_LINES = 5


class Contradictions:
    """What the labels of scenes say against the words of P phrases.

    Decision: a scene judges a phrase by 30 points at least, and contradicts it if the named classes have less
    than a fifth of them. A phrase is contradicted by two scenes at least, and by more than half of those that
    judge it: a single scene may be an accident, and the prior outvotes it.
    """

    def __init__(self, means: np.ndarray) -> None:
        """means (P,C) bool: the classes that the words of each phrase name."""
        self._means = means
        self._judging, self._against = np.zeros((2, len(means)), np.int64)  # scenes
        self._points = np.zeros(means.shape)  # on the scenes that contradict

    def add(self, counts: np.ndarray) -> None:
        """One more scene: its points (P,C) by phrase and class."""
        points, right = counts.sum(axis=1), (counts * self._means).sum(axis=1)
        judging = self._means.any(axis=1) & (points >= SCENE_POINTS)
        against = judging & (right < LEAST_SHARE * points)
        self._judging += judging
        self._against += against
        self._points[against] += counts[against]

    def lines(self, phrases: Sequence[str], class_names: Sequence[str]) -> tuple[str, ...]:
        """A line for each contradicted phrase, at most five, those with most points first."""
        contradicted = (self._against >= LEAST_SCENES) & (2 * self._against > self._judging)
        rows = np.flatnonzero(contradicted)
        ranked = rows[np.argsort(-self._points[rows].sum(axis=1), kind="stable")][:MOST_LINES]
        return tuple(self._lines(ranked.tolist(), phrases, class_names))

    def _lines(self, rows: Sequence[int], phrases: Sequence[str], names: Sequence[str]) -> Iterator[str]:
        for row in rows:
            named = " and ".join(names[one] for one in np.flatnonzero(self._means[row]).tolist())
            others = np.where(self._means[row], -1, self._points[row])
            share = others.max() / self._points[row].sum()
            yield (
                f'the phrase "{phrases[row]}" names {named}, but on {self._against[row]} labelled scenes '
                f"{share:.0%} of its points are {names[int(others.argmax())]}; look at `make audit`"
            )
