from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lass3d_core.errors import CorruptArtifact, DataError
from lass3d_core.files.masks import encode
from lass3d_core.records import Entity
from preprocess.lvm.palette import PaletteDetector
from preprocess.stages.entities import detected, entities_in, vocabularies
from preprocess.stages.image_captions import captions_in, phrases_of
from preprocess.stages.jsonl_shards import read_jsonl, write_jsonl

IMAGES = [np.zeros((2, 3, 3), np.uint8), np.ones((2, 3, 3), np.uint8)]


class FirstWord:
    """Finds the first word of the vocabulary everywhere; like a real model it cannot take an empty one."""

    def detect(
        self, images: Sequence[np.ndarray], vocabularies: Sequence[Sequence[str]]
    ) -> list[list[Entity]]:
        mask = encode(np.ones((2, 3), bool))
        return [[Entity(words[0], 0.5, (0.0, 0.0, 3.0, 2.0), mask)] for words in vocabularies]


def test_an_image_without_a_word_to_ask_for_has_no_entity() -> None:
    found = detected(FirstWord(), IMAGES, [(), ("car", "road")])
    assert [(size, [entity.phrase for entity in entities]) for size, entities in found] == [
        ((2, 3), []),
        ((2, 3), ["car"]),
    ]


def test_a_detector_that_loses_an_image_is_refused() -> None:
    class Silent:
        def detect(self, images: object, vocabularies: object) -> list[list[Entity]]:
            return []

    with pytest.raises(DataError, match="gave 0 answers for 2 images"):
        detected(Silent(), IMAGES, [("car",), ("car",)])


def test_the_vocabulary_of_an_image_is_what_its_caption_grounds(finished_street: Any) -> None:
    block = finished_street.project.blocks[0]
    _, images, _ = read_jsonl(finished_street.artifacts / "image_captions" / f"{block.name}.jsonl")
    words = vocabularies(finished_street.project, block)
    assert words == {image["image_id"]: tuple(phrases_of(image)) for image in images}
    assert all(words.values())


def test_fixed_words_stand_alone_or_after_those_of_the_caption(street: Any) -> None:
    grounded = vocabularies(street.project, street.project.blocks[0])
    street.set(entities__vocabulary="both", entities__fixed=["A Zebra"])
    both = vocabularies(street.project, street.project.blocks[0])
    assert both == {image_id: (*words, "zebra") for image_id, words in grounded.items()}
    street.set(entities__vocabulary="fixed")
    assert set(vocabularies(street.project, street.project.blocks[0]).values()) == {("zebra",)}


def test_every_entity_has_a_phrase_of_its_image_and_a_mask_of_its_size(finished_street: Any) -> None:
    block = finished_street.project.blocks[0]
    found = entities_in(finished_street.artifacts / "entities" / f"{block.name}.jsonl")
    words = vocabularies(finished_street.project, block)
    views = [view for scan_id in block.scan_ids for view in finished_street.project.dataset.views(scan_id)]
    sizes = {view.image_id: view.camera.size_hw for view in views}
    assert found.keys() == sizes.keys()
    for image_id, entities in found.items():
        assert entities
        assert {entity.phrase for entity in entities} <= set(words[image_id])
        assert {entity.mask.size_hw for entity in entities} == {sizes[image_id]}


def cut(street: Any, name: str) -> None:
    path = street.sequences / name
    path.write_bytes(path.read_bytes()[:3000])


def test_an_unreadable_image_is_a_named_failure_and_the_rest_is_paired(street: Any, capfd: Any) -> None:
    cut(street, "00/image_2/000001.png")
    street.set(max_failures=0.15)
    assert street.run("captions") == 0
    printed = capfd.readouterr().out
    assert "image_captions: 1 image failed (00/000001/image_2: " in printed
    assert "entities: 1 image failed (00/000001/image_2: " in printed
    assert captions_in(street.artifacts / "image_captions" / "00-000.jsonl")["00/000001/image_2"] is None
    assert entities_in(street.artifacts / "entities" / "00-000.jsonl")["00/000001/image_2"] == []
    assert street.run("pairs") == 0
    assert street.run("status") == 0
    assert "image_captions" in (line := capfd.readouterr().out) and "1 image failed" in line
    assert street.run("captions") == 0
    assert "image_captions: fresh (4 shards)\nimage_captions: 1 image failed" in capfd.readouterr().out


def test_too_many_failures_stop_the_stage_and_keep_what_is_done(street: Any, one_line: Any) -> None:
    cut(street, "00/image_2/000004.png")
    cut(street, "01/image_2/000000.png")
    street.set(max_failures=0.15)
    assert street.run("captions") == 2
    line = one_line()
    assert "image_captions: 2 images failed (00/000004/image_2: " in line
    assert "; 01/000000/image_2: " in line and "max_failures 0.15 allows 1" in line
    assert "000004.png" in line and "run again" in line
    assert captions_in(street.artifacts / "image_captions" / "00-001.jsonl")["00/000005/image_2"]
    assert street.run("captions") == 2, "the failures are tried again, and fail again"
    street.set(max_failures=0.25)
    assert street.run("captions") == 0


@pytest.fixture
def looked_at(street: Any) -> Any:
    """The street with every look at each image."""
    street.set(entities__looks=["mirrored", "tiled"])
    assert street.run("captions") == 0
    return street


def lines_of(street: Any, name: str = "00-000") -> list[dict[str, Any]]:
    return read_jsonl(street.artifacts / "entities" / f"{name}.jsonl")[1]


def test_without_looks_nothing_on_disk_tells_of_them(finished_street: Any) -> None:
    path = finished_street.artifacts / "entities" / "00-000.jsonl"
    assert b"look" not in path.read_bytes()
    entities = [entity for image in lines_of(finished_street) for entity in image["entities"]]
    assert {tuple(entity) for entity in entities} == {("phrase", "score", "box_xyxy", "mask")}


def test_further_looks_follow_the_unchanged_whole_image(looked_at: Any, finished_street: Any) -> None:
    for image, before in zip(lines_of(looked_at), lines_of(finished_street), strict=True):
        whole = [entity for entity in image["entities"] if "look" not in entity]
        assert {**image, "entities": whole} == before
        assert image["entities"][: len(whole)] == whole
        looks = [entity["look"] for entity in image["entities"][len(whole) :]]
        assert looks == sorted(looks) and set(looks) == {"mirrored", "tiled"}


def test_looks_are_read_back_and_a_change_of_them_is_named(looked_at: Any, capfd: Any) -> None:
    found = entities_in(looked_at.artifacts / "entities" / "00-000.jsonl")
    for image in lines_of(looked_at):
        looks = [entity.get("look", "whole") for entity in image["entities"]]
        assert [entity.look for entity in found[image["image_id"]]] == looks
        assert {entity.mask.size_hw for entity in found[image["image_id"]]} == {tuple(image["size_hw"])}
    looked_at.set(entities__looks=["tiled"])
    capfd.readouterr()
    assert looked_at.run("status") == 0
    assert 'looks: ["mirrored", "tiled"] -> ["tiled"]' in capfd.readouterr().out


def test_an_unknown_look_is_one_line(looked_at: Any) -> None:
    path: Path = looked_at.artifacts / "entities" / "00-000.jsonl"
    header, images, footer = read_jsonl(path)
    images[1]["entities"][-1]["look"] = "upside down"
    write_jsonl(path, header.record, images, footer.digests)
    with pytest.raises(CorruptArtifact, match=r"there is no look 'upside down'.*run `make captions`$"):
        entities_in(path)


def test_an_image_that_fails_in_one_look_is_named_and_the_rest_is_answered(
    street: Any, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect, wide = PaletteDetector.detect, set[tuple[int, ...]]()
    bad = street.sequences / "00" / "image_2" / "000001.png"
    mirrored = np.asarray(Image.open(bad).convert("RGB"))[:, ::-1]

    def fails(self: Any, images: Any, vocabularies: Any) -> Any:
        wide.update(image.shape for image in images)
        if any(np.array_equal(image, mirrored) for image in images):
            raise RuntimeError("out of sorts")
        return detect(self, images, vocabularies)

    monkeypatch.setattr(PaletteDetector, "detect", fails)
    street.set(entities__looks=["mirrored", "tiled"], max_failures=0.15)
    capfd.readouterr()
    assert street.run("captions") == 0
    assert "1 image failed (00/000001/image_2: RuntimeError: out of sorts)" in capfd.readouterr().out
    assert [("error" in image, bool(image.get("entities"))) for image in lines_of(street)] == [
        (False, True),
        (True, False),
        (False, True),
    ]
    assert len(wide) == 2  # whole and mirrored, and tiles
