"""Which image of a camera belongs to which scan, by the names of their files.

The rule, for each camera of a sequence:
1. If any image has the name of a scan, an image belongs to the scan of its name.
2. Else, if all names are numbers of at most 9 digits, the image belongs to the scan of the same number.
3. Else, if all names are times, a scan gets the image nearest in time, unless it is farther than a limit.
A name is a time if it is a number of seconds with a decimal point, or of 10 to 12 digits; of milliseconds
with 13 to 15 digits, microseconds with 16 to 18, or nanoseconds with 19.
Decision: under rule 3 the camera is taken to be where it was at the time of the scan. At 10 m/s and 20 ms it
is off by 0.2 m.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import chain

import numpy as np

from lass3d_core.errors import DataError

_UNIT_OF_DIGITS = ((10, 13, 1.0), (13, 16, 1e-3), (16, 19, 1e-6), (19, 20, 1e-9))


def images_of_scans(
    scans: Sequence[str], images: Collection[str], max_gap_s: float, where: str
) -> dict[str, str]:
    """Scan -> image, both by the name of their files; scans without an image are left out.

    where: the folder of the images, for the message. Raises DataError if no rule fits the names.
    """
    if not scans or not images or not set(scans).isdisjoint(images):
        return {scan: scan for scan in scans if scan in images}
    if all(map(_is_frame_number, chain(scans, images))):
        of_number = {int(image): image for image in images}
        return {scan: of_number[int(scan)] for scan in scans if int(scan) in of_number}
    if all(time_of(name) is not None for name in chain(scans, images)):
        return _nearest_in_time(scans, sorted(images, key=_seconds), max_gap_s)
    raise DataError(
        f"{where}: no image has the name of a scan ({min(images)} and {min(scans)}), and the names are "
        "neither frame numbers nor times; rename the images as their scans"
    )


def time_of(name: str) -> float | None:
    """The time in seconds that a file's name says; None if it says none."""
    if re.fullmatch(r"\d+\.\d+", name):
        return float(name)
    if not re.fullmatch(r"\d+", name):
        return None
    unit = next((unit for low, high, unit in _UNIT_OF_DIGITS if low <= len(name) < high), None)
    return None if unit is None else int(name) * unit


def _nearest_in_time(scans: Sequence[str], images: Sequence[str], max_gap_s: float) -> dict[str, str]:
    times = np.array([_seconds(image) for image in images])
    found = {}
    for scan in scans:
        gaps = np.abs(times - _seconds(scan))
        nearest = int(gaps.argmin())
        if gaps[nearest] <= max_gap_s:
            found[scan] = images[nearest]
    return found


def _seconds(name: str) -> float:
    time = time_of(name)
    assert time is not None
    return time


def _is_frame_number(name: str) -> bool:
    return re.fullmatch(r"\d{1,9}", name) is not None
