from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lass3d_core.errors import DataError, Lass3dError
from lass3d_core.manifest.schema import EntitiesSpec
from preprocess.lvm import load_detector

pytest.importorskip("transformers", reason="needs the [lvm] extra: make setup-lvm")
pytestmark = [
    pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning"),
    pytest.mark.filterwarnings("ignore:The `device` argument is deprecated:FutureWarning"),
]

IMAGES = list(np.random.default_rng(0).integers(0, 255, (2, 60, 150, 3), dtype=np.uint8))


@pytest.fixture
def spec(hf_grounded_sam_params: dict[str, Any]) -> Callable[..., EntitiesSpec]:
    """The manifest's entry, with the given parameters beside those of the weights."""

    def made(**params: Any) -> EntitiesSpec:
        return EntitiesSpec(name="hf_grounded_sam", params={**hf_grounded_sam_params, **params})

    return made


@pytest.fixture(params=["tiny_hf_sam", "tiny_hf_sam2"])
def masker(request: pytest.FixtureRequest) -> Any:
    import torch

    from preprocess.lvm.hf_grounded_sam import HfSegmentAnything

    return HfSegmentAnything(request.getfixturevalue(request.param), torch.device("cpu"), torch.float32)


def test_a_batch_of_different_prompts_is_answered_as_each_alone(tiny_hf_dino: Path) -> None:
    import torch

    from preprocess.lvm.hf_grounded_sam import HfGroundingDino

    finder = HfGroundingDino(tiny_hf_dino, torch.device("cpu"), torch.float32)
    prompts = ["car . traffic sign .", "a tree . house . person . road ."]
    with torch.inference_mode():
        together = finder.ask(IMAGES, prompts)
        alone = [finder.ask([image], [prompt])[0] for image, prompt in zip(IMAGES, prompts)]
    for (logits, boxes), (own_logits, own_boxes) in zip(together, alone):
        np.testing.assert_allclose(boxes, own_boxes, atol=1e-4)
        np.testing.assert_allclose(np.tanh(logits), np.tanh(own_logits), atol=1e-3)


def test_an_image_is_encoded_once_for_any_number_of_boxes(masker: Any) -> None:
    encoded: list[int] = []
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


def test_masks_equal_those_of_the_models_own_call(tiny_hf_sam: Path) -> None:
    import torch
    from PIL import Image
    from transformers import SamModel, SamProcessor

    from preprocess.lvm.hf_grounded_sam import HfSegmentAnything

    boxes = np.array([[10, 5, 60, 40], [30, 20, 140, 55]], np.float32)
    model, processor = SamModel.from_pretrained(tiny_hf_sam).eval(), SamProcessor.from_pretrained(tiny_hf_sam)
    picture = Image.fromarray(IMAGES[0])
    inputs = processor(images=picture, input_boxes=[boxes.tolist()], return_tensors="pt")
    with torch.inference_mode():
        answer = model(**inputs, multimask_output=False)
    (wanted,) = processor.post_process_masks(
        answer.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"]
    )
    found = HfSegmentAnything(tiny_hf_sam, torch.device("cpu"), torch.float32).masks(IMAGES[0], boxes)
    assert (np.stack(found) != wanted[:, 0].numpy()).mean() < 0.01


def test_sam_2_serves_as_well(spec: Callable[..., EntitiesSpec], tiny_hf_sam2: Path) -> None:
    one, other = (
        load_detector(found).detect(IMAGES, [("car",), ("road", "tree")])
        for found in (spec(), spec(sam={"weights": str(tiny_hf_sam2)}))
    )
    assert [[entity.box_xyxy for entity in entities] for entities in one] == [
        [entity.box_xyxy for entity in entities] for entities in other
    ]
    assert any(first.mask != second.mask for first, second in zip(one[0], other[0]))


def test_sam_2_by_the_name_of_its_published_weights(tiny_hf_sam2: Path, tmp_path: Path) -> None:
    import torch

    from preprocess.lvm.hf_grounded_sam import HfSegmentAnything

    shutil.copytree(tiny_hf_sam2, tmp_path / "video")
    config = tmp_path / "video" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": "sam2_video"}))
    masker = HfSegmentAnything(tmp_path / "video", torch.device("cpu"), torch.float32)
    assert len(masker.masks(IMAGES[0], np.array([[10, 5, 60, 40]], np.float32))) == 1


def refused(spec: EntitiesSpec, kind: type[Lass3dError]) -> str:
    with pytest.raises(kind) as error:
        load_detector(spec)
    (line,) = str(error.value).splitlines()
    return line


def test_weights_of_another_model_are_refused(
    spec: Callable[..., EntitiesSpec], hf_grounded_sam_params: Any
) -> None:
    dino, sam = hf_grounded_sam_params["dino"], hf_grounded_sam_params["sam"]
    line = refused(spec(dino=sam), DataError)
    assert line.startswith("Grounding DINO (transformers): ") and sam["weights"] in line
    line = refused(spec(sam=dino), DataError)
    assert line.startswith("SAM (transformers): ") and "'grounding-dino'" in line


def test_a_tokenizer_with_other_numbers_is_refused(
    spec: Callable[..., EntitiesSpec], tiny_hf_dino: Path, tmp_path: Path
) -> None:
    from transformers import BertTokenizerFast

    folder = tmp_path / "other"
    shutil.copytree(tiny_hf_dino, folder)
    (tmp_path / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "a"])
    )
    BertTokenizerFast.from_pretrained(tmp_path).save_pretrained(folder)
    line = refused(spec(dino={"weights": str(folder)}), DataError)
    assert str(folder) in line and "'.': 5" in line and "bert-base-uncased" in line
