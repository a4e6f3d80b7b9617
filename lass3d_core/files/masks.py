"""Binary masks <-> COCO's compressed run-length form, byte for byte what `pycocotools.mask` writes and reads.

A mask is walked column by column; its runs alternate background, object, background, ... Each run length,
from the fourth on as the difference to the run two before, is written in digits of five bits, the lowest
first, one printable character per digit: bit 5 says that more digits follow, bit 4 of the last digit is the
sign.
"""

from __future__ import annotations

import numpy as np

from lass3d_core.errors import DataError
from lass3d_core.records import RunLengthMask

_DIGIT_BITS = 5
_MORE = 1 << _DIGIT_BITS
_SIGN = 1 << (_DIGIT_BITS - 1)
_FIRST_CHARACTER = 48
_MAX_DIGITS = 7  # 35 bits hold every difference of two 32-bit run lengths


def encode(mask: np.ndarray) -> RunLengthMask:
    """`mask` (H,W) bool as a RunLengthMask."""
    height, width = mask.shape
    pixels = np.asarray(mask, bool).ravel(order="F")
    changes = np.flatnonzero(np.diff(pixels, prepend=False))
    runs = np.diff(changes, prepend=0, append=pixels.size)
    return RunLengthMask((height, width), _characters_of(runs))


def decode(mask: RunLengthMask) -> np.ndarray:
    """`mask` as (H,W) bool. Raises DataError where the counts are damaged."""
    height, width = mask.size_hw
    runs = _runs_of(mask)
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape((height, width), order="F")


def run_edges(mask: RunLengthMask) -> np.ndarray:
    """Where the runs begin and the last one ends, background first: (R+1,) int64 pixels down the columns.

    Raises DataError where the counts are damaged.
    """
    runs = _runs_of(mask)
    edges = np.zeros(len(runs) + 1, np.int64)
    np.cumsum(runs, out=edges[1:])
    return edges


def area(mask: RunLengthMask) -> int:
    """Number of object pixels. Raises DataError where the counts are damaged."""
    return int(_runs_of(mask)[1::2].sum())


def _characters_of(runs: np.ndarray) -> str:
    rest = runs.astype(np.int64)
    rest[3:] -= runs[1:-2]
    digits = np.zeros((len(runs), _MAX_DIGITS), np.uint8)
    written = np.zeros((len(runs), _MAX_DIGITS), bool)
    unfinished = np.ones(len(runs), bool)
    for place in range(_MAX_DIGITS):
        digit = rest & (_MORE - 1)
        rest >>= _DIGIT_BITS
        more = np.where(digit & _SIGN, rest != -1, rest != 0)
        digits[:, place] = digit + _MORE * more
        written[:, place] = unfinished
        unfinished = unfinished & more
    return (digits[written] + _FIRST_CHARACTER).astype(np.uint8).tobytes().decode("ascii")


def _runs_of(mask: RunLengthMask) -> np.ndarray:
    """Run lengths (R,) int64, checked against the size of the mask."""
    differences = _numbers_of(mask)
    runs = differences.copy()
    runs[1::2] = np.cumsum(differences[1::2])
    runs[2::2] = np.cumsum(differences[2::2])
    height, width = mask.size_hw
    if runs.min(initial=0) < 0 or runs.sum() != height * width:
        raise _damaged(mask, f"they do not add up to {height} x {width} pixels")
    return runs


def _numbers_of(mask: RunLengthMask) -> np.ndarray:
    """The signed numbers (R,) int64 that the characters spell."""
    characters = np.frombuffer(mask.counts.encode("utf-8"), np.uint8)
    digits = characters.astype(np.int64) - _FIRST_CHARACTER
    if digits.size == 0 or digits.min() < 0 or digits.max() >= 2 * _MORE:
        raise _damaged(mask, "they are empty or hold a foreign character")
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
    return DataError(
        f"the run-length counts of a {height} x {width} mask are damaged: {why}; make the mask again"
    )
