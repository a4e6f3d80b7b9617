"""What LASS3D+ is worth and what it is made of, as tables beside the paper's."""

from __future__ import annotations

from train.tables.paper import LONGER, MEAN_TEACHER, PLUS, PLUS_WITHOUT_TEXT, SUPERVISED
from train.tables.rows import Row, Table

TABLE_PLUS = Table(
    "plus",
    "language as a label prior",
    (SUPERVISED, LONGER, MEAN_TEACHER, PLUS_WITHOUT_TEXT, PLUS),
    reference=PLUS.title,
    claims=(),
    note="A step of LASS3D+ costs two to three times one of supervised-only: hence its row of three times "
    "the steps. LASS3D+ without text is the same recipe with the prior's strength 0.",
)

TABLE_PARTS = Table(
    "plus-parts",
    "parts of LASS3D+, each left out or added",
    (
        SUPERVISED,
        PLUS_WITHOUT_TEXT,
        PLUS,
        Row("whole scans, no panoramas", "lass3d_plus", ("data.panorama=false",), "whole"),
        Row("teacher not tempered", "lass3d_plus", ("method.temperature=1",), "untempered"),
        Row("without class names", "lass3d_plus", ("method.prior.names=false",), "no-names"),
        Row("with consistency", "lass3d_plus", ("method.lambda_consistency=1",), "consistency"),
        Row("with bands of labelled scans exchanged", "lass3d_plus", ("method.mix.weight=1",), "bands"),
        Row("with PE on the product", "lass3d_plus", ("method.pe.weight=0.1",), "pe"),
        Row(
            "with contrast to the phrases' rows",
            "lass3d_plus",
            ("method.query.into_segmenter=true",),
            "contrast",
        ),
        Row("with SAFM", "lass3d_plus", ("method.text.weight=1",), "safm"),
        Row(
            "with SAFM and text dropout",
            "lass3d_plus",
            ("method.text.weight=1", "method.text.dropout=0.5"),
            "safm-dropout",
        ),
        Row(
            "with SAFM and KL into the features",
            "lass3d_plus",
            ("method.text.weight=1", "method.text.into_segmenter=true"),
            "safm-kl",
        ),
    ),
    reference=PLUS.title,
    claims=(),
)

TABLES = {table.name: table for table in (TABLE_PLUS, TABLE_PARTS)}
"""Ours, by name."""
