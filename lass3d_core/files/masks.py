"""Binary masks in COCO's compressed run-length form, in the bytes of `pycocotools.mask`.

A mask is read column by column; its runs alternate: background, object, background, ... From the fourth on,
a run is stored as the difference to the run two before it. Each number is written in digits of five bits,
the lowest first, one printable character per digit. Bit 5 says that more digits follow; bit 4 of the last
digit is the sign.

Only the encoder is pycocotools. Its decoder fills a mask with uninitialised memory if the counts are cut off,
and the pairing needs the runs themselves, which it does not return.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from pycocotools import mask as coco

from lass3d_core.errors import DataError
from lass3d_core.records import RunLengthMask

_DIGIT_BITS = 5
_MORE = 1 << _DIGIT_BITS
_SIGN = 1 << (_DIGIT_BITS - 1)
_FIRST_CHARACTER = 48
_MAX_DIGITS = 7  # 35 bits hold every difference of two 32-bit run lengths
_PIXELS_AT_ONCE = 1 << 20  # of parts that are encoded together


def encode(mask: np.ndarray) -> RunLengthMask:
    """Encode `mask` (H,W) bool."""
    height, width = mask.shape
    counts = coco.encode(np.asfortranarray(mask, np.uint8))["counts"]
    return RunLengthMask((height, width), counts.decode("ascii"))


def encode_parts(labels: np.ndarray, areas: Sequence[int]) -> list[RunLengthMask]:
    """Encode the masks `labels == 1`, ..., `labels == R` of an image of labels (H,W) int.

    areas (R,): the number of pixels of each label; none is 0. Gives what `encode` gives for each mask, but
    looks at the image once for every million pixels of parts instead of once for every part.
    """
    masks: list[RunLengthMask] = []
    while (first := len(masks)) < len(areas):
        last = first + max(1, int(np.searchsorted(np.cumsum(areas[first:]), _PIXELS_AT_ONCE, side="right")))
        if areas[first] > _PIXELS_AT_ONCE:
            masks.append(encode(labels == last))
        else:
            masks += _encode_some(labels, first + 1, last)
    return masks


def _encode_some(labels: np.ndarray, first: int, last: int) -> list[RunLengthMask]:
    """Encode the masks of the labels from `first` to `last`."""
    height, width = labels.shape
    pixels = np.flatnonzero(((labels >= first) & (labels <= last)).T)  # down the columns
    owner = labels[pixels % height, pixels // height]
    order = np.argsort(owner, kind="stable")
    pixels, owner = pixels[order], owner[order]
    is_start = np.ones(len(pixels), bool)
    is_start[1:] = (np.diff(pixels) != 1) | (np.diff(owner) != 0)
    starts = np.flatnonzero(is_start)
    begins, ends = pixels[starts], pixels[np.append(starts[1:], len(pixels)) - 1] + 1
    cuts = np.searchsorted(owner[starts], np.arange(first, last + 2))
    counts = [_counts(begins[a:b], ends[a:b], labels.size) for a, b in pairwise(cuts)]
    size = [height, width]
    coded = coco.frPyObjects([{"size": size, "counts": one} for one in counts], height, width)
    return [RunLengthMask((height, width), one["counts"].decode("ascii")) for one in coded]


def _counts(begins: np.ndarray, ends: np.ndarray, size: int) -> np.ndarray:
    """The run lengths of a mask of `size` pixels whose object runs are given: background, object, ..."""
    edges = np.column_stack([begins, ends]).ravel()
    runs = np.diff(edges, prepend=0, append=size)
    return runs if runs[-1] else runs[:-1]


def decode(mask: RunLengthMask) -> np.ndarray:
    """Decode `mask` to (H,W) bool. Raises DataError if its counts are damaged."""
    runs = _runs_of(mask)
    is_object = np.arange(len(runs)) % 2 == 1
    return np.repeat(is_object, runs).reshape(mask.size_hw, order="F")


def run_edges(mask: RunLengthMask) -> np.ndarray:
    """Where each run begins and the last one ends, in pixels down the columns; background comes first.

    Returns (R+1,) int64. Raises DataError if the counts are damaged.
    """
    return np.concatenate([[0], np.cumsum(_runs_of(mask))])


def area(mask: RunLengthMask) -> int:
    """Number of object pixels. Raises DataError if the counts are damaged."""
    return int(_runs_of(mask)[1::2].sum())


def _runs_of(mask: RunLengthMask) -> np.ndarray:
    """Run lengths (R,) int64, whose sum is the number of pixels."""
    differences = _numbers_of(mask)
    runs = differences.copy()
    runs[1::2] = np.cumsum(differences[1::2])
    runs[2::2] = np.cumsum(differences[2::2])
    height, width = mask.size_hw
    if runs.min(initial=0) < 0 or runs.sum() != height * width:
        raise _damaged(mask, f"they do not add up to {height} x {width} pixels")
    return runs


def _numbers_of(mask: RunLengthMask) -> np.ndarray:
    """The signed numbers (R,) int64 that the characters encode."""
    characters = np.frombuffer(mask.counts.encode("utf-8"), np.uint8)
    digits = characters.astype(np.int64) - _FIRST_CHARACTER
    if digits.size == 0 or digits.min() < 0 or digits.max() >= 2 * _MORE:
        raise _damaged(mask, "they are empty or hold an invalid character")
    last = digits & _MORE == 0
    if not last[-1]:
        raise _damaged(mask, "they end in the middle of a number")
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _MAX_DIGITS:
        raise _damaged(mask, f"a number has more than {_MAX_DIGITS} digits")
    places = np.arange(digits.size) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((digits & (_MORE - 1)) << (_DIGIT_BITS * places), starts)
    negative = digits[ends] & _SIGN != 0
    return numbers - (negative.astype(np.int64) << (_DIGIT_BITS * lengths))


def _damaged(mask: RunLengthMask, why: str) -> DataError:
    height, width = mask.size_hw
    return DataError(f"the counts of a {height} x {width} mask are damaged: {why}; make the mask again")
