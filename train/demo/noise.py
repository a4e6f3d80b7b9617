"""How large a difference of two runs with one seed must be to mean anything."""

from __future__ import annotations

from train.evaluate import Metrics

# Twice 5. Over three seeds with the same labelled scans, the difference of two of the demo's methods has a
# standard deviation of 4.8, 4.5 or 6.3 (docs/results-demo.md).
NOISE = 10.0
"""A difference of mIoU in %, absent classes dropped, from one seed is noise if it is smaller than this."""


def noise_of(metrics: Metrics) -> float:
    """NOISE under the official rule of `metrics`: absent classes that count 0 make differences smaller."""
    present = sum(share is not None for share in metrics.iou) / len(metrics.iou)
    return NOISE if metrics.absent == "dropped" else NOISE * present
