"""`make pairs` ends with what each split has, and warns where that is next to nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest

Spoil = Callable[[Any], None]


def renamed_labels(street: Any) -> None:
    for folder in street.sequences.glob("0[01]/labels"):
        folder.rename(folder.with_name("label"))


def labels_of_nothing(street: Any) -> None:
    for path in street.sequences.glob("0[01]/labels/*"):
        path.write_bytes(bytes(path.stat().st_size))


def no_images(street: Any) -> None:
    shutil.rmtree(street.artifacts)
    for folder in street.sequences.glob("*/image_2"):
        folder.rename(folder.with_name("images"))


def camera_to_the_sky(street: Any) -> None:
    for path in street.sequences.glob("*/calib.txt"):
        lines = path.read_text().splitlines()
        number = next(i for i, line in enumerate(lines) if line.startswith("Tr:"))
        x, y, z = np.array(lines[number].split()[1:], float).reshape(3, 4)
        lines[number] = "Tr: " + " ".join(map(str, np.concatenate([x, z, -y])))
        path.write_text("\n".join(lines) + "\n")


def sure_entities_alone(street: Any) -> None:
    street.set(pairs__min_score=1.0)


def no_vocabulary(street: Any) -> None:
    street.set(entities__vocabulary="fixed", entities__fixed=["zebra"])


def beams_without_echo(street: Any) -> None:
    for path in street.sequences.glob("*/velodyne/*"):
        points = np.fromfile(path, np.float32).reshape(-1, 4)
        points[::20, :3] = 0
        points.tofile(path)


WARNINGS: dict[str, tuple[Spoil, str]] = {
    "labels under another name": (renamed_labels, "train: no scan has labels, so nothing can be trained"),
    "labels that are all 0": (labels_of_nothing, "train: every label is ignored"),
    "no image folder": (no_images, "train: no scan has an image, so no point gets a text"),
    "calibration of another camera": (camera_to_the_sky, "train: next to no point lies in an image"),
    "a score that nothing reaches": (sure_entities_alone, "train: next to no point in an image has a phrase"),
    "words for nothing that is there": (no_vocabulary, "train: next to no point in an image has a phrase"),
    "points at the origin": (beams_without_echo, "of the points lie at the origin (0, 0, 0)"),
}


@pytest.mark.parametrize("what", WARNINGS)
def test_next_to_nothing_is_a_warning_that_names_the_cause(what: str, own_street: Any, capfd: Any) -> None:
    spoil, words = WARNINGS[what]
    spoil(own_street)
    assert own_street.run("captions") == 0
    capfd.readouterr()
    for _ in range(2):  # made, and fresh
        assert own_street.run("pairs") == 0
        warned = [one for one in capfd.readouterr().out.splitlines() if one.startswith("WARNING: ")]
        assert any(words in one for one in warned), warned


def test_an_ordinary_street_has_no_warning(own_street: Any, capfd: Any) -> None:
    assert own_street.run("pairs") == 0
    printed = capfd.readouterr().out
    assert "WARNING" not in printed
    assert "test: 2 scans, 2 with labels, 2 with images; " in printed


def test_who_says_that_there_are_no_images_is_not_warned(own_street: Any, capfd: Any) -> None:
    own_street.set(datasets__street__views=[])
    assert own_street.run("pairs") == 0
    assert "WARNING" not in capfd.readouterr().out


def test_a_validation_split_without_images_and_a_test_split_without_labels_are_in_order(
    own_street: Any, capfd: Any
) -> None:
    shutil.rmtree(own_street.artifacts)
    (own_street.sequences / "01/image_2").rename(own_street.sequences / "01/images")
    (own_street.sequences / "02/labels").rename(own_street.sequences / "02/label")
    assert own_street.run("captions") == 0 and own_street.run("pairs") == 0
    printed = capfd.readouterr().out
    assert "val: 2 scans, 2 with labels, 0 with images" in printed
    assert "test: 2 scans, 0 with labels, 2 with images" in printed
    assert "WARNING" not in printed


def test_shards_without_counts_are_made_again(own_street: Any, capfd: Any) -> None:
    path = own_street.artifacts / "pairs/00-000.h5"
    with h5py.File(path, "r+", libver="latest") as file:
        file.attrs["schema"] = 1
    assert own_street.run("pairs") == 0
    assert "pairs: 1 of 4 shards to make: " in capfd.readouterr().out
