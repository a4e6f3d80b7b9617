from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from lass3d_core.errors import DataError
from lass3d_core.files.masks import encode
from lass3d_core.records import Entity
from preprocess.stages.entities import detected, entities_in, vocabularies
from preprocess.stages.image_captions import captions_in, phrases_of
from preprocess.stages.jsonl_shards import read_jsonl

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
