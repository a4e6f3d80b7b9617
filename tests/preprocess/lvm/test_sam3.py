from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lass3d_core.errors import BackendUnavailable, DataError
from lass3d_core.files.masks import decode
from lass3d_core.manifest.schema import EntitiesSpec
from preprocess.lvm import load_detector
from tests.preprocess.lvm.refusing import refused, without

pytest.importorskip("transformers", reason="needs the [lvm] extra: make setup-lvm")

IMAGE = np.random.default_rng(0).integers(0, 255, (60, 150, 3), dtype=np.uint8)
OTHER = np.random.default_rng(1).integers(0, 255, (80, 50, 3), dtype=np.uint8)


def load(folder: Path, **params: Any) -> Any:
    return load_detector(EntitiesSpec("sam3", {"weights": str(folder), **params}))


def test_answers_equal_those_of_the_librarys_own_call(tiny_sam3: Path) -> None:
    import torch
    from PIL import Image

    floor = 0.09
    detector = load(tiny_sam3, box_floor=floor, max_iou=1.0)
    processor = detector._processor
    inputs = processor(images=Image.fromarray(IMAGE), text="a car", return_tensors="pt")
    with torch.inference_mode():
        answer = detector._model(
            pixel_values=inputs["pixel_values"],
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
        )
    (wanted,) = processor.post_process_instance_segmentation(
        answer, threshold=floor, mask_threshold=0.5, target_sizes=[IMAGE.shape[:2]]
    )
    order = wanted["scores"].argsort(descending=True)
    (found,) = detector.detect([IMAGE], [["A  car"]])
    assert 1 < len(found) == len(order) < 12 and {entity.phrase for entity in found} == {"A  car"}
    np.testing.assert_allclose([entity.score for entity in found], wanted["scores"][order], atol=1e-5)
    boxes = wanted["boxes"][order].numpy().clip(0, [150, 60, 150, 60])
    np.testing.assert_allclose([entity.box_xyxy for entity in found], boxes, atol=1e-3)
    masks = np.stack([decode(entity.mask) for entity in found])
    assert 0 < masks.mean() < 1 and (masks != wanted["masks"][order].numpy()).mean() < 0.001


def test_an_image_is_encoded_once_and_its_phrases_share_batches(tiny_sam3: Path) -> None:
    detector, encoded, asked = load(tiny_sam3, run={"batch": 2}), [], []
    detector._model.vision_encoder.register_forward_hook(lambda *_: encoded.append(1))
    detector._model.text_encoder.register_forward_hook(lambda _, inputs, answer: asked.append(len(answer[0])))
    words = ["car", "road", "tree", "car", " ", "house", "sky"]
    found = detector.detect([IMAGE, OTHER], [words, ["car"]])
    assert len(encoded) == 2 and asked == [2, 2, 1, 1]
    assert {entity.phrase for entity in found[0]} <= {"car", "road", "tree", "house", "sky"}


def test_an_image_without_a_phrase_is_not_looked_at(tiny_sam3: Path) -> None:
    detector, encoded = load(tiny_sam3), []
    detector._model.vision_encoder.register_forward_hook(lambda *_: encoded.append(1))
    assert detector.detect([IMAGE, OTHER], [[], [" "]]) == [[], []] and detector.detect([], []) == []
    assert encoded == []


def test_no_entity_above_the_floor_is_no_entity(tiny_sam3: Path) -> None:
    assert load(tiny_sam3, box_floor=1.0).detect([IMAGE], [["car"]]) == [[]]


def test_the_worse_of_two_overlapping_boxes_goes_whatever_its_phrase(tiny_sam3: Path) -> None:
    every, few = (
        load(tiny_sam3, box_floor=0.0, max_iou=max_iou).detect([IMAGE], [["car", "road"]])[0]
        for max_iou in (1.0, 0.3)
    )
    assert {entity.phrase for entity in every} == {"car", "road"}
    assert 0 < len(few) < len(every) and few[0] == every[0]
    assert {entity.box_xyxy for entity in few} <= {entity.box_xyxy for entity in every}


def test_a_phrase_that_is_longer_than_the_window_is_named(tiny_sam3: Path) -> None:
    detector = load(tiny_sam3)
    detector.detect([IMAGE], [["a" * 30]])
    with pytest.raises(DataError, match=r"the phrase 'a+'\.\.\. has 31 tokens, .* window of 32"):
        detector.detect([IMAGE], [["car", "a" * 31]])


def test_the_model_by_the_name_and_form_of_its_published_weights(tiny_sam3: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    video = tmp_path / "video"
    shutil.copytree(tiny_sam3, video)
    own = json.loads((video / "config.json").read_text())
    (video / "config.json").write_text(json.dumps({"model_type": "sam3_video", "detector_config": own}))
    weights = {
        f"detector_model.{key}": value for key, value in load_file(video / "model.safetensors").items()
    }
    tracker = {"tracker_model.a": next(iter(weights.values())).clone()}
    save_file(weights | tracker, video / "model.safetensors", metadata={"format": "pt"})
    wanted, found = (load(folder).detect([IMAGE], [["road"]])[0] for folder in (tiny_sam3, video))
    assert wanted and [entity.phrase for entity in found] == [entity.phrase for entity in wanted]
    for one, other in zip(found, wanted):
        assert one.score == pytest.approx(other.score, abs=1e-5)
        assert one.box_xyxy == pytest.approx(other.box_xyxy, abs=1e-3)


def test_weights_of_another_model_and_incomplete_ones_are_refused(
    tiny_sam3: Path, tiny_hf_sam: Path, tmp_path: Path
) -> None:
    line = refused("sam3", {"weights": str(tiny_hf_sam)}, DataError)
    assert line.startswith(f"SAM 3: {tiny_hf_sam} holds a model of type sam, not sam3, sam3_video; ")
    assert "has no config.json" in refused("sam3", {"weights": str(tmp_path)}, BackendUnavailable)
    lacking = without(tiny_sam3, "text_projection.weight", tmp_path / "lacking")
    line = refused("sam3", {"weights": str(lacking)}, DataError)
    assert "lacks 1 parameters, such as text_projection.weight" in line


def test_transformers_4_is_named_as_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    from preprocess.lvm import sam3

    monkeypatch.setattr(sam3.transformers, "__version__", "4.57.6")
    line = refused("sam3", {"weights": "/no/where"}, BackendUnavailable)
    assert line.startswith("SAM 3: it needs transformers 5 or newer, and this is 4.57.6; ")
