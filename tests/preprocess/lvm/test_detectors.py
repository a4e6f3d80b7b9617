"""What every detector by phrases must do; random weights answer at random, but always the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from lass3d_core.files.masks import decode
from lass3d_core.manifest.schema import EntitiesSpec
from lass3d_core.records import Entity
from preprocess.lvm import load_detector

pytest.importorskip("transformers", reason="needs the [lvm] extra: make setup-lvm")
pytestmark = [
    pytest.mark.filterwarnings("ignore:Importing from timm.models.layers:FutureWarning"),
    pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning"),
    pytest.mark.filterwarnings("ignore:The `device` argument is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`torch.cuda.amp.autocast:FutureWarning"),
]

Load = Callable[..., Any]

SIZES = [(60, 150), (80, 100), (60, 150), (60, 150)]
IMAGES = [
    np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    for seed, size in enumerate(SIZES)
]
VOCABULARIES = [
    ("car", "traffic sign", "road"),
    ("tree",),
    ("parked vehicle", "house", "grass", "fence"),
    ("sky",),
]


@pytest.fixture(params=["grounded_sam", "hf_grounded_sam", "owlv2_sam", "sam3"])
def load(request: pytest.FixtureRequest) -> Load:
    """Loads the detector with the given parameters beside those of its weights."""
    weights = request.getfixturevalue(f"{request.param}_params")
    return lambda **params: load_detector(EntitiesSpec(name=request.param, params={**weights, **params}))


def assert_same(found: Sequence[list[Entity]], wanted: Sequence[list[Entity]]) -> None:
    """Equal but for the order of float sums."""
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted):
        assert [entity.phrase for entity in ours] == [entity.phrase for entity in theirs]
        for one, other in zip(ours, theirs):
            assert one.score == pytest.approx(other.score, abs=1e-4)
            assert one.box_xyxy == pytest.approx(other.box_xyxy, abs=0.05)
            assert (decode(one.mask) != decode(other.mask)).mean() < 0.01


def test_every_entity_is_a_phrase_of_its_image_above_the_floor_best_first(load: Load) -> None:
    found = load(box_floor=0.3).detect(IMAGES, VOCABULARIES)
    assert all(found), "the random weights find something in every image"
    for entities, words, (height, width) in zip(found, VOCABULARIES, SIZES):
        scores = [entity.score for entity in entities]
        assert min(scores) >= 0.3 and scores == sorted(scores, reverse=True)
        assert {entity.phrase for entity in entities} <= set(words)
        for entity in entities:
            x1, y1, x2, y2 = entity.box_xyxy
            assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
            assert decode(entity.mask).shape == (height, width) and decode(entity.mask).any()


def test_images_of_several_sizes_and_vocabularies_at_once_give_what_each_gives_alone(load: Load) -> None:
    at_once = load(run={"batch": 8})
    alone = [at_once.detect([image], [words])[0] for image, words in zip(IMAGES, VOCABULARIES)]
    assert_same(at_once.detect(IMAGES, VOCABULARIES), alone)


def test_bfloat16_finds_things_too(load: Load) -> None:
    found = load(dtype="bfloat16", box_floor=0.0).detect(IMAGES[:1], VOCABULARIES[:1])
    assert found[0] and all(0 <= entity.score <= 1 for entity in found[0])
