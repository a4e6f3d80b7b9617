from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from lass3d_core.errors import DataError
from lass3d_core.files import masks
from lass3d_core.files.masks import area, decode, encode, encode_parts
from lass3d_core.records import RunLengthMask

small_masks = arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))


def coco_counts(mask: np.ndarray) -> str:
    return coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode("ascii")


def test_runs_go_down_the_columns_and_start_with_background() -> None:
    mask = np.array([[0, 1, 1], [1, 1, 0]], bool)
    # column by column 01 11 10: one background, four object, one background
    assert encode(mask) == RunLengthMask((2, 3), "141")


def test_fourth_run_is_written_as_a_difference() -> None:
    mask = np.array([[0] * 2 + [1] * 3 + [0] * 4 + [1] * 2], bool)
    # runs 2 3 4 2; the last is 2 - 3 = -1, whose five bits 11111 are the character 48 + 31
    assert encode(mask).counts == "234" + chr(48 + 31)


@settings(max_examples=50, deadline=None)
@given(small_masks)
def test_counts_are_those_of_pycocotools(mask: np.ndarray) -> None:
    encoded = encode(mask)
    assert encoded.counts == coco_counts(mask)
    assert np.array_equal(decode(encoded), mask)
    assert area(encoded) == mask.sum()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 1.0])
def test_large_masks_agree_with_pycocotools(share: float) -> None:
    mask = np.random.default_rng(0).random((375, 1242)) < share
    encoded = encode(mask)
    assert encoded.counts == coco_counts(mask)
    assert np.array_equal(decode(encoded), mask)
    assert area(encoded) == mask.sum()


def test_large_solid_shape_has_numbers_of_several_digits() -> None:
    mask = np.zeros((375, 1242), bool)
    mask[:, 300:900] = True
    mask[40:60, 1000:1010] = True
    assert encode(mask).counts == coco_counts(mask)
    assert np.array_equal(decode(encode(mask)), mask)


@pytest.mark.parametrize("at_once", [1, 5, 1 << 20])
@settings(max_examples=40, deadline=None)
@given(labels=arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 5)))
def test_parts_of_an_image_of_labels_are_encoded_as_one_by_one(at_once: int, labels: np.ndarray) -> None:
    used = np.unique(labels[labels > 0])
    labels = np.searchsorted(used, labels, side="right") * (labels > 0)  # no number is left out
    parts = [labels == number for number in range(1, len(used) + 1)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(masks, "_PIXELS_AT_ONCE", at_once)
        assert encode_parts(labels, [int(part.sum()) for part in parts]) == list(map(encode, parts))


@pytest.mark.parametrize(
    "counts",
    ["", "14", "1411", "14\x7f", "14é", "14Q", "1" + "P" * 9 + "0", "0N"],
    ids=["empty", "short", "long", "foreign", "not ascii", "unfinished", "endless number", "negative run"],
)
def test_damaged_counts_are_refused(counts: str) -> None:
    for reader in (decode, area):
        with pytest.raises(DataError, match="2 x 3 mask are damaged"):
            reader(RunLengthMask((2, 3), counts))


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=30))
def test_any_text_decodes_or_is_refused(counts: str) -> None:
    try:
        mask = decode(RunLengthMask((5, 7), counts))
    except DataError:
        return
    assert mask.shape == (5, 7)
