"""The paper's models with random weights, written by the libraries' own save calls, for benchmarks without a
download: time and memory do not depend on what the weights are.

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
"""What a detector is asked for; words of BERT's vocabulary here."""


def quiet() -> None:
    """No warnings of the libraries: of what they deprecate, and that weights are random, as wanted."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
