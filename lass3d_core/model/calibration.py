"""Confidences that mean what they say: one temperature, fitted on validation scans (Guo et al., ICML 2017).

Decision: it minimises the Brier score, not the negative log-likelihood of the paper. A class that the
labelled scans lack is missed with full confidence, and the log-likelihood of a few such points outweighs all
others: on validation scans of the simulated street it left an error of up to 12 % (docs/results-demo.md).

Letters: N points, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from lass3d_core.labels import IGNORE

BINS = 15
"""Bins of equal width of the expected calibration error, as in the paper."""

LEAST, MOST = 0.05, 20.0
"""Between these the temperature is sought."""


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The T > 0 that minimises the Brier score of softmax(logits / T), the mean of sum_c (p_c - [y = c])^2.

    logits (N,C) float32. labels (N,) int64, IGNORE does not count. 1 if no point has a label.
    """
    judged = labels != IGNORE
    logits, labels = logits[judged].double(), labels[judged]
    if not len(labels):
        return 1.0

    truth = torch.nn.functional.one_hot(labels, logits.shape[1])

    def brier(log_temperature: float) -> float:
        probability = (logits / np.exp(log_temperature)).softmax(dim=1)
        return float((probability - truth).square().sum(dim=1).mean())

    found = minimize_scalar(brier, bounds=(np.log(LEAST), np.log(MOST)), method="bounded")
    return float(np.exp(found.x))


@dataclass
class CalibrationError:
    """The expected calibration error, added up cloud by cloud:

    ECE = sum_b n_b / N |share of right points in bin b - mean confidence in bin b|
    """

    counts: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    confidences: np.ndarray = field(default_factory=lambda: np.zeros(BINS))
    right: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))

    def add(self, confidence: np.ndarray, prediction: np.ndarray, labels: np.ndarray) -> None:
        """Count points: confidence (N,) in [0,1], prediction and labels (N,) uint8; IGNORE does not count."""
        judged = labels != IGNORE
        confidence, is_right = confidence[judged], prediction[judged] == labels[judged]
        place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
        self.counts += np.bincount(place, minlength=BINS)
        self.confidences += np.bincount(place, confidence, minlength=BINS)
        self.right += np.bincount(place[is_right], minlength=BINS)

    @property
    def value(self) -> float | None:
        """The error in [0,1]; None before a point has counted."""
        if not self.counts.any():
            return None
        return float(np.abs(self.right - self.confidences).sum() / self.counts.sum())
