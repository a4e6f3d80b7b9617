"""Which image a scan gets: by name, by number, by time, in this order."""

from __future__ import annotations

import pytest

from lass3d_core.datasets.plain.matching import images_of_scans, time_of
from lass3d_core.errors import DataError


def test_an_image_belongs_to_the_scan_of_its_name() -> None:
    assert images_of_scans(("a", "b", "c"), {"c", "a", "x"}, 0.1, "w") == {"a": "a", "c": "c"}


def test_without_common_names_an_image_belongs_to_the_scan_of_its_number() -> None:
    assert images_of_scans(("000000", "000010"), {"0", "10", "11"}, 0.1, "w") == {
        "000000": "0",
        "000010": "10",
    }


def test_times_are_compared_if_names_are_times() -> None:
    scans, images = ("1700000000.100", "1700000000.200"), {"1700000000.130", "1700000000.260"}
    assert images_of_scans(scans, images, 0.05, "w") == {"1700000000.100": "1700000000.130"}
    both = images_of_scans(scans, images, 0.1, "w")
    assert both == {"1700000000.100": "1700000000.130", "1700000000.200": "1700000000.260"}


def test_one_image_may_serve_two_scans() -> None:
    found = images_of_scans(("1000000000000", "1000000000040"), {"1000000000020"}, 0.05, "w")
    assert found == {"1000000000000": "1000000000020", "1000000000040": "1000000000020"}


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("12.5", 12.5),
        ("1700000000", 1.7e9),
        ("1700000000123", 1.7e9 + 0.123),
        ("1700000000123456", 1.7e9 + 0.123456),
        ("1700000000123456789", 1.7e9 + 0.123456789),
        ("000012", None),
        ("frame_12", None),
        ("12345678901234567890", None),
    ],
)
def test_the_number_of_digits_says_the_unit_of_a_time(name: str, seconds: float | None) -> None:
    assert time_of(name) == (None if seconds is None else pytest.approx(seconds, abs=1e-6))


@pytest.mark.parametrize("images", [{"left-1"}, {"1700000000.5"}, {"cam_000000"}])
def test_names_that_fit_no_rule_are_refused(images: set[str]) -> None:
    with pytest.raises(DataError, match=r"^images/front: no image has the name of a scan"):
        images_of_scans(("000000", "000001"), images, 0.1, "images/front")


def test_no_images_belong_to_no_scans() -> None:
    assert images_of_scans(("a",), set(), 0.1, "w") == {} == images_of_scans((), {"a"}, 0.1, "w")
