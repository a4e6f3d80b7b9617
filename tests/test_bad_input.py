"""Bad input gives one clear line on stderr and exit status 2. Nothing that was made before is lost.

Each case breaks one thing in a finished project and runs the command that a user would run next.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from PIL import Image

import preprocess.__main__
import train.__main__

MANIFEST: dict[str, Any] = {
    "schema": 1,
    "default": "street",
    "datasets": {
        "street": {
            "reader": "semantickitti",
            "root": "data",
            "splits": {"train": ["00"], "val": ["01"], "test": ["02"]},
        }
    },
    "image_captions": {"name": "palette"},
    "entities": {"name": "palette", "vocabulary": "captions"},
    "text_embeddings": {"name": "hashing"},
    "shard_scans": 2,
    "max_failures": 0.0,
    "workers": 1,
}


@dataclass(frozen=True)
class Place:
    """A finished project: data, artifacts, and a manifest that reads the street as a real data set."""

    folder: Path

    @property
    def manifest(self) -> Path:
        return self.folder / "data_manifest.yaml"

    def data(self, name: str) -> Path:
        return self.folder / "data" / "sequences" / name

    def artifact(self, name: str) -> Path:
        return self.folder / "artifacts" / "street" / name

    def set(self, key: str, value: Any) -> None:
        """Change the manifest's key at this path, such as `pairs.min_score`."""
        content = yaml.safe_load(self.manifest.read_text())
        *parents, last = key.split(".")
        inner = content
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
        self.manifest.write_text(yaml.safe_dump(content))

    def run(self, command: str) -> int:
        program, *arguments = command.split()
        main = {"preprocess": preprocess.__main__.main, "train": train.__main__.main}[program]
        return main([*arguments, "--manifest", str(self.manifest)])

    def shards(self) -> dict[str, bytes]:
        """The content of every shard and table, by path."""
        made = (path for path in (self.folder / "artifacts").rglob("*") if path.suffix in (".h5", ".jsonl"))
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in made}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("finished"))
    simulated = {**MANIFEST, "datasets": {"street": dict(MANIFEST["datasets"]["street"])}}
    simulated["datasets"]["street"]["simulate"] = {"train": 4, "val": 1, "test": 1}
    place.manifest.write_text(yaml.safe_dump(simulated))
    assert place.run("preprocess simulate") == 0
    place.manifest.write_text(yaml.safe_dump(MANIFEST))
    assert place.run("preprocess captions") == 0
    assert place.run("preprocess pairs") == 0
    return place


@pytest.fixture
def place(finished: Place, tmp_path: Path) -> Place:
    shutil.copytree(finished.folder, tmp_path / "place")
    return Place(tmp_path / "place")


def cut(name: str, by: int = 5) -> Callable[[Place], None]:
    return lambda place: overwrite(place.data(name), place.data(name).read_bytes()[:-by])


def text(name: str, content: str) -> Callable[[Place], None]:
    return lambda place: overwrite(place.data(name), content.encode())


def rewritten(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Place], None]:
    return lambda place: overwrite(
        place.data(name), change(np.fromfile(place.data(name), "<f4").reshape(-1, 4)).tobytes()
    )


def overwrite(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def remove(name: str) -> Callable[[Place], None]:
    return lambda place: place.data(name).unlink()


def setting(key: str, value: Any) -> Callable[[Place], None]:
    return lambda place: place.set(key, value)


def drop_line(name: str, start: str) -> Callable[[Place], None]:
    def change(place: Place) -> None:
        lines = place.data(name).read_text().splitlines(keepends=True)
        overwrite(place.data(name), "".join(line for line in lines if not line.startswith(start)).encode())

    return change


def points(change: Callable[[np.ndarray], None]) -> Callable[[Place], None]:
    def spoil(place: Place) -> None:
        path = place.data("00/velodyne/000001.bin")
        values = np.fromfile(path, "<f4").reshape(-1, 4)
        change(values)
        overwrite(path, values.tobytes())

    return spoil


def unknown_class(place: Place) -> None:
    path = place.data("00/labels/000000.label")
    labels = np.fromfile(path, "<u4")
    labels[7] = 77
    overwrite(path, labels.tobytes())


def resized_image(place: Place) -> None:
    path = place.data("00/image_2/000000.png")
    image = Image.open(path).resize((40, 30))
    path.unlink()
    image.save(path)


def flipped(name: str, at: float = 0.6) -> Callable[[Place], None]:
    def flip(place: Place) -> None:
        content = bytearray(place.artifact(name).read_bytes())
        content[int(len(content) * at)] ^= 0xFF
        overwrite(place.artifact(name), bytes(content))

    return flip


def phrase_rows_flipped(place: Place) -> None:
    """Flip a byte in the rows of the phrases, which every training reads."""
    path = place.artifact("text_embeddings.h5")
    with h5py.File(path, "r") as file:
        start = file["phrase_rows"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[start + 5] ^= 0xFF
    overwrite(path, bytes(content))


def halved(name: str) -> Callable[[Place], None]:
    def halve(place: Place) -> None:
        content = place.artifact(name).read_bytes()
        overwrite(place.artifact(name), content[: len(content) // 2])

    return halve


def no_artifact(name: str) -> Callable[[Place], None]:
    return lambda place: place.artifact(name).unlink()


def file_for_folder(place: Place) -> None:
    place.set("artifacts", "a_file/artifacts")
    (place.folder / "a_file").write_text("")


def list_of(*lines: str) -> Callable[[Place], None]:
    def write(place: Place) -> None:
        (place.folder / "list.txt").write_text("\n".join(lines) + "\n")
        place.set("datasets.street.labelled", {"protocol": "lists", "lists": {"50": "list.txt"}})

    return write


def entities_to_read(place: Place) -> None:
    place.set("pairs.min_score", 0.7)
    flipped("entities/00-000.jsonl")(place)


def two_things(place: Place) -> None:
    place.set("pairs.min_skore", 0.5)
    place.set("shard_scans", "many")


PAIRS, CAPTIONS, TRAIN = "preprocess pairs", "preprocess captions", "train run --ratio 50 --preset demo"

CASES: dict[str, tuple[Callable[[Place], None], str, tuple[str, ...]]] = {
    # scans
    "truncated .bin": (cut("00/velodyne/000001.bin"), PAIRS, ("000001.bin", "cut off", "16")),
    "empty .bin": (
        lambda p: overwrite(p.data("00/velodyne/000001.bin"), b""),
        PAIRS,
        ("000001.bin", "empty"),
    ),
    "NaN points": (points(lambda v: v[3:5].fill(np.nan)), PAIRS, ("000001.bin", "2 of", "NaN")),
    "infinite points": (points(lambda v: v[3:4].fill(np.inf)), PAIRS, ("000001.bin", "1 of", "infinity")),
    "labels of another length": (cut("00/labels/000000.label", 8), PAIRS, ("000000.label", "points needs")),
    "unknown class id": (unknown_class, PAIRS, ("000000.label", "unknown class id 77")),
    # cameras and images
    "points of float64": (
        rewritten("00/velodyne/000001.bin", lambda rows: rows.astype("<f8")),
        PAIRS,
        ("000001.bin looks like rows of 4 float64",),
    ),
    "points in millimetres": (
        rewritten("00/velodyne/000001.bin", lambda rows: rows * np.array([1e3, 1e3, 1e3, 1], np.float32)),
        PAIRS,
        ("000001.bin: 98 % of the points span", "`unit_m: 0.001`"),
    ),
    "remission from 0 to 255": (
        rewritten("00/velodyne/000001.bin", lambda rows: rows * np.array([1, 1, 1, 255], np.float32)),
        PAIRS,
        ("000001.bin: remission reaches from", "`intensity_scale: 255`"),
    ),
    "calib.txt without Tr": (
        drop_line("00/calib.txt", "Tr"),
        PAIRS,
        ("calib.txt", "data_odometry_calib.zip"),
    ),
    "calib.txt without P2": (drop_line("00/calib.txt", "P2"), PAIRS, ("calib.txt", 'no line "P2"')),
    "calib.txt with a word": (
        text("00/calib.txt", "P2: one two\n"),
        PAIRS,
        ("calib.txt, line 1", "no number"),
    ),
    "calib.txt absent": (remove("00/calib.txt"), PAIRS, ("calib.txt", "does not exist")),
    "image absent": (
        remove("00/image_2/000001.png"),
        CAPTIONS,
        ("000001.png does not exist", "image_captions/00-000.jsonl holds what"),
    ),
    # manifest
    "manifest absent": (lambda p: p.manifest.unlink(), CAPTIONS, ("data_manifest.yaml", "does not exist")),
    "manifest no YAML": (
        lambda p: overwrite(p.manifest, b"a: [1\nb: {"),
        CAPTIONS,
        ("not valid YAML", "line"),
    ),
    "unknown key": (setting("pairs.min_skore", 0.5), PAIRS, ("pairs.min_skore", "did you mean 'min_score'")),
    "two problems": (two_things, PAIRS, ("2 problems", "pairs.min_skore", "shard_scans", "whole number")),
    "value out of range": (setting("pairs.min_score", 7), PAIRS, ("pairs", "min_score", "must be at most 1")),
    "unknown model": (
        setting("entities.name", "palete"),
        CAPTIONS,
        ("entities.name", "did you mean 'palette'"),
    ),
    "unknown parameter": (
        setting("image_captions.params", {"min_pixel": 3}),
        CAPTIONS,
        ("image_captions.params.min_pixel", "min_pixels"),
    ),
    "folder absent": (
        setting("datasets.street.root", "nowhere"),
        CAPTIONS,
        ("datasets.street.root", "nowhere"),
    ),
    "sequence absent": (setting("datasets.street.splits.val", ["77"]), CAPTIONS, ("77", "splits")),
    "sequence in two splits": (
        setting("datasets.street.splits.val", ["00"]),
        CAPTIONS,
        ("00", "more than once"),
    ),
    "unknown data set": (lambda p: None, "preprocess captions --dataset strete", ("strete", "'street'")),
    "artifacts below a file": (file_for_folder, CAPTIONS, ("a_file", "not a folder")),
    # artifacts
    "entities absent": (no_artifact("entities/00-000.jsonl"), PAIRS, ("entities", "make captions")),
    "entities damaged": (entities_to_read, PAIRS, ("entities", "make captions")),
    "pair shard absent": (no_artifact("pairs/00-000.h5"), TRAIN, ("00-000.h5", "make pairs")),
    "pair shard halved": (halved("pairs/00-000.h5"), TRAIN, ("00-000.h5", "make pairs")),
    "pair shard flipped": (flipped("pairs/00-000.h5"), TRAIN, ("00-000.h5", "make pairs")),
    "index absent": (no_artifact("pairs/index.json"), TRAIN, ("index.json", "make pairs")),
    "text table absent": (no_artifact("text_embeddings.h5"), TRAIN, ("text_embeddings.h5", "make captions")),
    "text table flipped": (phrase_rows_flipped, TRAIN, ("text_embeddings.h5", "make captions")),
    # training
    "ratio 0": (lambda p: None, "train run --ratio 0 --preset demo", ("ratio", "(0, 100]")),
    "ratio of no scan": (lambda p: None, "train run --ratio 10 --preset demo", ("labels none", "25")),
    "ratio of every scan": (lambda p: None, "train run --ratio 100 --preset demo", ("no unlabelled scan",)),
    "unknown method": (lambda p: None, TRAIN + " --method las3d", ("las3d", "'lass3d'")),
    "unknown preset": (lambda p: None, "train run --ratio 50 --preset dmeo", ("dmeo", "'demo'")),
    "unknown setting": (lambda p: None, TRAIN + " --set method.tau_q=1", ("method.tau_q", "tau_")),
    "setting of a wrong type": (
        lambda p: None,
        TRAIN + " --set method.tau_r=high",
        ("method.tau_r", "number"),
    ),
    "setting out of range": (lambda p: None, TRAIN + " --set method.tau_r=3", ("tau_r", "got 3")),
    "list with an unknown scan": (list_of("00/000000", "00/999999"), PAIRS, ("list.txt", "00/999999")),
    "list with a scan twice": (list_of("00/000000", "00/000000"), PAIRS, ("list.txt", "repeated")),
    "eval before training": (lambda p: None, "train eval --ratio 50 --preset demo", ("make train",)),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gets_one_clear_line(case: str, place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    spoil, command, fragments = CASES[case]
    spoil(place)
    before = place.shards()
    assert place.run(command) == 2
    line = error_line(capfd)
    assert line.startswith("error: ")
    for fragment in fragments:
        assert fragment in line
    after = place.shards()
    assert {name: after.get(name) for name in before} == before
    assert not list(place.folder.rglob("*.part"))


def test_an_image_of_another_size_is_named_when_points_are_projected_into_it(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    resized_image(place)
    assert place.run(CAPTIONS) == 0  # captions need no calibration
    assert place.run(PAIRS) == 2
    line = error_line(capfd)
    assert "000000.png is 30 x 40" in line and "P2" in line


@pytest.mark.parametrize(
    "spoil",
    [
        cut("00/image_2/000001.png", 9000),
        text("00/image_2/000001.png", "no image"),
    ],
)
def test_an_image_that_cannot_be_read_is_named_and_the_other_images_are_kept(
    spoil: Callable[[Place], None], place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    spoil(place)
    before = place.shards()
    assert place.run(CAPTIONS) == 2
    line = error_line(capfd)
    assert line.startswith("error: ") and "00/000001/image_2" in line and "max_failures" in line
    changed = {name for name, content in place.shards().items() if before.get(name) != content}
    assert changed == {"artifacts/street/image_captions/00-000.jsonl"}
    place.set("max_failures", 0.2)
    assert place.run(CAPTIONS) == 0
    assert "00/000001/image_2" in capfd.readouterr().out
    assert place.run(PAIRS) == 0


def test_an_image_that_was_never_there_is_named_and_the_others_are_captioned(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    remove("00/image_2/000001.png")(place)
    shutil.rmtree(place.folder / "artifacts")
    assert place.run(CAPTIONS) == 2
    assert "1 image failed (00/000001/image_2: " in error_line(capfd)
    place.set("max_failures", 0.2)
    assert place.run(CAPTIONS) == 0 and place.run(PAIRS) == 0
    printed = capfd.readouterr().out
    assert "without text: 1 image failed (00/000001/image_2: " in printed
    assert "train: 4 scans, 4 with labels, 3 with images" in printed


def test_a_full_disk_gets_one_clear_line(
    place: Place, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.set("pairs.min_score", 0.7)
    before, fsync = place.shards(), os.fsync

    def full(descriptor: int) -> None:
        if os.fstat(descriptor).st_size > 1000:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    assert place.run(PAIRS) == 2
    line = error_line(capfd)
    assert line.startswith("error: cannot write ") and "the disk is full" in line
    assert place.shards() == before
    monkeypatch.undo()
    assert place.run(PAIRS) == 0


def error_line(capfd: pytest.CaptureFixture[str]) -> str:
    """The only line on stderr that is no progress, which begins with a time stamp, and no warning."""
    lines = [line for line in capfd.readouterr().err.splitlines() if line]
    lines = [line for line in lines if not re.match(r"\d{4}-\d\d-\d\d |warning: ", line)]
    assert len(lines) == 1, lines
    return lines[0]
