"""The paper's models with random weights, saved by their libraries, for benchmarks without a download.

Time and memory do not depend on the values of the weights.
`full` is the real architecture; `small` has fewer and narrower layers.
"""

from __future__ import annotations

import logging
import warnings
from typing import Literal

Size = Literal["small", "full"]

PHRASES = (
    "car",
    "truck",
    "person",
    "road",
    "sidewalk",
    "building",
    "fence",
    "tree",
    "traffic sign",
    "pole",
)
"""The vocabulary of a detector: words that the small BERT knows."""


def quiet() -> None:
    """Silence the warnings of the libraries: deprecations, and that weights are random."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
