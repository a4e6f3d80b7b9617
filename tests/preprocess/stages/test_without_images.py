"""Data sets without an image, with images of some scans, and with JPEG images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lass3d_core.files.shards import ShardReader
from lass3d_core.files.text_table import TextRowsFile
from preprocess.stages import entities, image_captions, text_embeddings

LOADERS = (
    (image_captions, "load_captioner"),
    (entities, "load_detector"),
    (text_embeddings, "load_encoder"),
)


@pytest.fixture
def untouched(own_street: Any) -> Any:
    """A street of one's own of which nothing was made yet."""
    shutil.rmtree(own_street.artifacts)
    return own_street


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The loaders of models that were called, in order."""
    called: list[str] = []
    for module, name in LOADERS:
        load = getattr(module, name)

        def listening(spec: Any, name: str = name, load: Callable[[Any], Any] = load) -> Any:
            called.append(name)
            return load(spec)

        monkeypatch.setattr(module, name, listening)
    return called


def without_folders(street: Any) -> None:
    for folder in street.sequences.glob("*/image_2"):
        shutil.rmtree(folder)


def without_views(street: Any) -> None:
    street.set(datasets__street__views=[])


def with_empty_folders(street: Any) -> None:
    for image in street.sequences.glob("*/image_2/*"):
        image.unlink()


@pytest.mark.parametrize("remove", [without_folders, without_views, with_empty_folders])
def test_without_images_every_stage_runs_and_no_model_is_loaded(
    remove: Callable[[Any], None], untouched: Any, loaded: list[str], capfd: Any
) -> None:
    remove(untouched)
    for command in ("captions", "pairs", "audit", "status"):
        assert untouched.run(command) == 0
    assert loaded == []
    printed = capfd.readouterr().out
    assert "image_captions: wrote 4 shards (no images)" in printed
    assert "train: 6 scans, 6 with labels, 0 with images; 0.0 % of points in an image" in printed
    table = TextRowsFile(untouched.artifacts / "text_embeddings.h5")
    assert table.image_ids == table.caption_texts == table.phrases == ()
    table.close()


def test_without_images_pairs_need_no_captions_before(untouched: Any, loaded: list[str]) -> None:
    without_folders(untouched)
    assert untouched.run("pairs") == 0
    assert (untouched.artifacts / "text_embeddings.h5").exists() and loaded == []


def test_with_images_pairs_say_that_captions_are_missing(untouched: Any, one_line: Callable[[], str]) -> None:
    assert untouched.run("pairs") == 2
    assert "run `make captions`" in one_line()


def test_without_calibration_images_are_captioned_all_the_same(untouched: Any) -> None:
    for calibration in untouched.sequences.glob("*/calib.txt"):
        calibration.unlink()
    assert untouched.run("captions") == 0


def test_a_sequence_without_a_camera_loads_no_model_for_its_shards(
    untouched: Any, loaded: list[str], capfd: Any
) -> None:
    shutil.rmtree(untouched.sequences / "00/image_2")
    assert untouched.run("captions", "--only", "image_captions") == 0
    assert loaded == ["load_captioner"]
    assert untouched.run("captions") == 0 and untouched.run("pairs") == 0
    printed = capfd.readouterr().out
    assert "train: 6 scans, 6 with labels, 0 with images" in printed
    assert "val: 2 scans, 2 with labels, 2 with images" in printed


def test_missing_images_are_named_after_captions_and_after_pairs(untouched: Any, capfd: Any) -> None:
    untouched.set(max_failures=0.5)
    for name in ("000001", "000004"):
        (untouched.sequences / f"00/image_2/{name}.png").unlink()
    assert untouched.run("captions") == 0
    assert "image_captions: 2 images failed (00/000001/image_2: " in capfd.readouterr().out
    for _ in range(2):  # made, and fresh
        assert untouched.run("pairs") == 0
        printed = capfd.readouterr().out
        assert "pairs: without text: 2 images failed (00/000001/image_2: " in printed
        assert "train: 6 scans, 6 with labels, 4 with images" in printed
    with closing(ShardReader(untouched.artifacts / "pairs/00-000.h5")) as shard:
        assert [one.images for one in shard.counts.values()] == [1, 0, 1]


def test_an_image_that_comes_later_is_captioned_and_paired(untouched: Any, capfd: Any) -> None:
    untouched.set(max_failures=0.5)
    image = untouched.sequences / "00/image_2/000001.png"
    content = image.read_bytes()
    image.unlink()
    assert untouched.run("captions") == 0 and untouched.run("pairs") == 0
    image.write_bytes(content)
    assert untouched.run("captions") == 0 and untouched.run("pairs") == 0
    assert "train: 6 scans, 6 with labels, 6 with images" in capfd.readouterr().out


def test_jpeg_images_get_captions_and_points(own_street: Any, capfd: Any) -> None:
    for path in own_street.sequences.glob("*/image_2/*.png"):
        with Image.open(path) as image:
            image.save(path.with_suffix(".jpg"), quality=95)
        path.unlink()
    assert own_street.run("captions") == 0 and own_street.run("pairs") == 0
    line = next(one for one in capfd.readouterr().out.splitlines() if one.startswith("train: "))
    assert "6 with images" in line and "; 0.0 %" not in line
    with closing(ShardReader(own_street.artifacts / "pairs/00-000.h5")) as shard:
        assert all(one.points_with_phrase for one in shard.counts.values())


def test_a_data_set_without_images_is_counted_in_the_audit(untouched: Any) -> None:
    without_folders(untouched)
    assert untouched.run("pairs") == 0 and untouched.run("audit") == 0
    found = json.loads(Path(untouched.artifacts / "audit/audit.json").read_text())
    train = found["coverage"]["train"]
    assert (train["scans"], train["labelled_scans"], train["scans_with_image"]) == (6, 6, 0)
