from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lass3d_core.errors import DataError

pytest.importorskip("transformers", reason="needs the [lvm] extra: make setup-lvm")
pytestmark = pytest.mark.filterwarnings("ignore:The following named arguments are not valid:UserWarning")

IMAGES = list(np.random.default_rng(0).integers(0, 255, (2, 60, 150, 3), dtype=np.uint8))
BOX = np.array([[10, 5, 60, 40]], np.float32)


def load(folder: Path) -> Any:
    import torch

    from preprocess.lvm.hf_sam import HfSegmentAnything

    return HfSegmentAnything(folder, torch.device("cpu"), torch.float32)


@pytest.fixture(params=["tiny_hf_sam", "tiny_sam_hq", "tiny_hf_sam2", "tiny_edgetam"])
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


def test_an_image_is_encoded_once_for_any_number_of_boxes(folder: Path) -> None:
    masker, encoded = load(folder), []
    masker._model.vision_encoder.register_forward_hook(lambda *_: encoded.append(1))
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 40, (70, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 20, (70, 2))], axis=1).astype(np.float32)
    masks = masker.masks(IMAGES[0], boxes)
    assert len(masks) == 70 and len(encoded) == 1
    assert {(mask.shape, mask.dtype) for mask in masks} == {((60, 150), np.dtype(bool))}
    for chosen in (0, 40, 69):
        (alone,) = masker.masks(IMAGES[0], boxes[chosen : chosen + 1])
        assert (alone != masks[chosen]).mean() < 0.01


def test_masks_equal_those_of_the_models_own_call(folder: Path) -> None:
    import torch
    from PIL import Image

    boxes = np.array([[10, 5, 60, 40], [30, 20, 140, 55]], np.float32)
    masker = load(folder)
    model, processor = masker._model, masker._processor
    inputs = processor(images=Image.fromarray(IMAGES[0]), input_boxes=[boxes.tolist()], return_tensors="pt")
    sizes = [inputs[name] for name in masker._sizes]
    inputs = {name: value for name, value in inputs.items() if name in ("pixel_values", "input_boxes")}
    with torch.inference_mode():
        answer = model(**{**inputs, "input_boxes": inputs["input_boxes"].float()}, multimask_output=False)
    (wanted,) = processor.post_process_masks(answer.pred_masks, *sizes)
    found = np.stack(masker.masks(IMAGES[0], boxes))
    assert (found != wanted[:, 0].numpy()).mean() < 0.01
    assert 0 < found.mean() < 1


@pytest.mark.parametrize(("fixture", "published"), [("tiny_hf_sam2", "sam2"), ("tiny_edgetam", "edgetam")])
def test_image_models_by_the_names_of_their_published_video_models(
    fixture: str, published: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    own = request.getfixturevalue(fixture)
    shutil.copytree(own, tmp_path / "video")
    config = tmp_path / "video" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": f"{published}_video"}))
    (found,) = load(tmp_path / "video").masks(IMAGES[0], BOX)
    (wanted,) = load(own).masks(IMAGES[0], BOX)
    assert np.array_equal(found, wanted)


def test_no_box_is_no_mask(tiny_hf_sam: Path) -> None:
    assert load(tiny_hf_sam).masks(IMAGES[0], np.zeros((0, 4), np.float32)) == []


def test_a_model_whose_name_only_begins_alike_is_refused(tiny_hf_sam: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_hf_sam, tmp_path / "other")
    config = tmp_path / "other" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": "sam_of_tomorrow"}))
    with pytest.raises(DataError, match="holds a model of type sam_of_tomorrow, not sam, sam_hq, sam2, "):
        load(tmp_path / "other")
