"""The doctor opens a scan, its labels, images and calibration of each sequence, and says what is wrong."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from preprocess.doctor.data import data
from preprocess.doctor.finding import Finding


def findings(street: Any) -> list[Finding]:
    return [one for one in data(street.project) if one.what in ("train", "val", "data set street")]


def wrong(street: Any) -> list[str]:
    return [one.detail for one in findings(street) if one.mark == "FIX"]


def noted(street: Any) -> list[str]:
    return [one.detail for one in findings(street) if one.mark == "note"]


def test_a_healthy_street_has_nothing_wrong(own_street: Any) -> None:
    assert [one.mark for one in findings(own_street)] == ["ok"] * 3


def points(change: Callable[[np.ndarray], Any], dtype: str = "<f4") -> Callable[[Path], None]:
    """Change the first scan; None means that it was changed in place."""

    def damage(sequences: Path) -> None:
        path = sequences / "00/velodyne/000000.bin"
        values = np.fromfile(path, "<f4").reshape(-1, 4)
        changed = change(values)
        (values if changed is None else changed).astype(dtype).tofile(path)

    return damage


def put(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda sequences: (sequences / name).write_bytes(content) and None


def set_Tr(numbers: str | None) -> Callable[[Path], None]:
    """Replace the line Tr of calib.txt, or drop it."""

    def damage(sequences: Path) -> None:
        path = sequences / "00/calib.txt"
        lines = [line for line in path.read_text().splitlines() if not line.startswith("Tr")]
        path.write_text("\n".join([*lines, f"Tr: {numbers}" if numbers else ""]) + "\n")

    return damage


UP = "0 -1 0 0 1 0 0 0 0 0 1 -50"  # a camera that looks up, 50 m above every point


def dangling(sequences: Path) -> None:
    path = sequences / "00/velodyne/000001.bin"
    path.unlink()
    path.symlink_to("/nowhere/000001.bin")


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a dangling link": (dangling, "000001.bin is a link to nothing"),
    "an absent image": (
        lambda folder: (folder / "00/image_2/000002.png").unlink(),
        "1 image missing: .*000002.png; restore them",
    ),
    "an image that is none": (put("00/image_2/000000.png", b"GIF"), "000000.png is not a readable image"),
    "an unknown class": (
        lambda folder: np.full(6, 999, "<u4").tofile(folder / "00/labels/000000.label"),
        "000000.label",
    ),
    "a calibration without Tr": (set_Tr(None), 'no line "Tr"'),
    "float64 points": (points(lambda v: v, "<f8"), "000000.bin"),
    "points in millimetres": (points(lambda v: v * (1000, 1000, 1000, 1)), "000000.bin.*unit_m"),
    "intensities of 0 to 255": (points(lambda v: v * (1, 1, 1, 255)), "000000.bin.*intensity_scale: 255"),
    "a time for an intensity": (points(lambda v: v + np.float32([0, 0, 0, 1e9])), "000000.bin"),
    "NaN": (points(lambda v: v[5].fill(np.nan)), "000000.bin.*NaN"),
    "an image of another size": (
        lambda folder: Image.new("RGB", (30, 20)).save(folder / "00/image_2/000000.png"),
        "000000.png is 20 x 30",
    ),
    "a camera that looks away": (set_Tr(UP), "at most 0.0% of a scan's points fall into its images"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line(own_street: Any, case: str) -> None:
    damage, words = WRONG[case]
    damage(own_street.sequences)
    found = wrong(own_street)
    assert found and all("\n" not in line for line in found)
    assert any(re.search(words, line) for line in found), found
    assert own_street.run("doctor") == 2


def test_labels_that_are_not_found_are_noted_with_the_place(own_street: Any) -> None:
    (own_street.sequences / "01/labels").rename(own_street.sequences / "01/label")
    (line,) = noted(own_street)
    assert line.startswith("no scan has labels, and nothing is evaluated; they are looked for in the folder")


def test_a_data_set_without_images_is_noted_and_well(own_street: Any) -> None:
    for sequence in ("00", "01", "02"):
        shutil.rmtree(own_street.sequences / sequence / "image_2")
    assert not wrong(own_street) and len(noted(own_street)) == 2
    assert "no scan has an image" in noted(own_street)[0]


def test_pulses_without_an_echo_are_noted(own_street: Any) -> None:
    points(lambda v: v[:500].fill(0))(own_street.sequences)
    assert any("lie at the origin" in line for line in noted(own_street))


def test_ignored_labels_are_wrong(own_street: Any) -> None:
    for path in (own_street.sequences / "00/labels").iterdir():
        np.zeros_like(np.fromfile(path, "<u4")).tofile(path)
    assert wrong(own_street) == ["every label is ignored; mend `classes` or the label files"]


@pytest.mark.parametrize(("gpu", "of_point"), [(False, 275), (True, 70)])
def test_shared_memory_is_judged_by_what_workers_send_to_the_processor_at_hand(
    gpu: bool, of_point: int, own_street: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    monkeypatch.setattr("preprocess.doctor.data.shortage", lambda size, workers: asked.append(size))
    assert [one.mark for one in data(own_street.project) if one.what == "shared memory"] == ["ok"]
    points = asked[0] // (4 * of_point)
    assert asked == [4 * of_point * points] and points > 1000
