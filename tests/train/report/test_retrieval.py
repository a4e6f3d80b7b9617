from __future__ import annotations

import re

from train.outputs.retrieval import Retrieval
from train.report.retrieval import retrieval


def test_best_found_classes_come_first_and_absent_ones_not_at_all() -> None:
    score = Retrieval(
        run_digest="run",
        split="val",
        class_names=("road", "bus", "traffic-sign"),
        queries=("road", "bus", "<traffic sign>"),
        average_precision=(0.5, None, 0.75),
        share=(0.9, 0.0, 0.1),
        mean=0.625,
        chance=0.5,
        scans=2,
        points=1234,
    )
    drawn = retrieval(score)
    words = " ".join(re.sub(r"<[^>]*>", " ", drawn).split())
    assert "validation split" in words and "62.5" in words and "50.0" in words
    assert words.index("&lt;traffic sign&gt; 75.0 10.0") < words.index("road 50.0 90.0")
    assert "bus" not in words
