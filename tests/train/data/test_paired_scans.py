"""Which training scans have text, by the counts in the shards and the captions in the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lass3d_core.files.text_table import CaptionRows, TextNames, write_text_rows
from lass3d_core.records import NONE, PairedScan
from tests.train.conftest import record
from train.data.paired_scans import PairedScans


def without_phrases(scan: PairedScan) -> PairedScan:
    return replace(scan, pairs=replace(scan.pairs, entity=np.full(len(scan.points), NONE, np.int16)))


def out_of_the_image(scan: PairedScan) -> PairedScan:
    scan = without_phrases(scan)
    return replace(scan, pairs=replace(scan.pairs, image=np.full((len(scan.points), 1), NONE, np.int16)))


def fail_captions(project: Any, failed: int) -> None:
    """Write a table in which the captions of the first `failed` training images failed."""
    image_ids = tuple(f"{split}/{scan}/image" for split, scans in enumerate((10, 2)) for scan in range(scans))
    number = np.array([NONE if place < failed else 0 for place in range(len(image_ids))], np.int32)
    row = np.ones((1, 8), np.float16)
    names = TextNames(image_ids, number, ("a wall",), ())
    path = project.artifacts / "text_embeddings.h5"
    captions = [CaptionRows(row, np.array([1]), row)]
    write_text_rows(path, names, captions, row[:0], record("text_embeddings", str(failed)))


def test_every_scan_with_a_phrase_or_a_caption_has_text(tiny: Any, rewrite_tiny: Callable[..., None]) -> None:
    assert len(PairedScans.open(tiny.artifacts).scans_with_text) == 10
    rewrite_tiny(tiny, without_phrases)
    assert len(PairedScans.open(tiny.artifacts).scans_with_text) == 10


@pytest.mark.parametrize("failed", [1, 10])
def test_a_scan_whose_caption_failed_has_no_text(
    failed: int, tiny: Any, rewrite_tiny: Callable[..., None]
) -> None:
    rewrite_tiny(tiny, without_phrases)
    fail_captions(tiny, failed)
    found = PairedScans.open(tiny.artifacts).scans_with_text
    assert found == tuple(f"0/{scan}" for scan in range(failed, 10))


def test_a_scan_whose_points_no_image_sees_has_no_text(tiny: Any, rewrite_tiny: Callable[..., None]) -> None:
    rewrite_tiny(tiny, out_of_the_image)
    assert PairedScans.open(tiny.artifacts).scans_with_text == ()


def test_scans_without_a_label_file_are_not_among_the_labelled(
    tiny: Any, rewrite_tiny: Callable[..., None]
) -> None:
    rewrite_tiny(tiny, lambda scan: replace(scan, labels=None) if scan.scan_id in ("0/3", "1/0") else scan)
    pairs = PairedScans.open(tiny.artifacts)
    assert pairs.labelled_scans("train") == tuple(f"0/{scan}" for scan in range(10) if scan != 3)
    assert pairs.labelled_scans("val") == ("1/1",)
