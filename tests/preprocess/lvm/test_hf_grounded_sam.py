from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lass3d_core.errors import BackendUnavailable, DataError
from lass3d_core.manifest.schema import EntitiesSpec
from lass3d_core.records import Entity
from preprocess.lvm import load_detector
from tests.preprocess.lvm.refusing import refused

pytest.importorskip("transformers", reason="needs the [lvm] extra: make setup-lvm")
pytestmark = [
    pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning"),
    pytest.mark.filterwarnings("ignore:The following named arguments are not valid:UserWarning"),
    pytest.mark.filterwarnings("ignore:The `device` argument is deprecated:FutureWarning"),
]

NAME = "hf_grounded_sam"
IMAGES = list(np.random.default_rng(0).integers(0, 255, (2, 60, 150, 3), dtype=np.uint8))
WORDS = [("car",), ("road", "tree")]


def found(params: dict[str, Any], **more: Any) -> list[list[Entity]]:
    return load_detector(EntitiesSpec(name=NAME, params={**params, **more})).detect(IMAGES, WORDS)


def boxes(of: list[list[Entity]]) -> list[list[tuple[float, ...]]]:
    return [[entity.box_xyxy for entity in entities] for entities in of]


@pytest.mark.parametrize("masks", ["tiny_sam_hq", "tiny_hf_sam2"])
def test_another_mask_model_masks_the_same_boxes(
    masks: str, hf_grounded_sam_params: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    one = found(hf_grounded_sam_params)
    other = found(hf_grounded_sam_params, sam={"weights": str(request.getfixturevalue(masks))})
    assert boxes(one) == boxes(other)
    assert any(first.mask != second.mask for first, second in zip(one[0], other[0]))


def test_mm_grounding_dino_finds_boxes_as_well(
    hf_grounded_sam_params: dict[str, Any], tiny_mm_dino: Path
) -> None:
    one = found(hf_grounded_sam_params, box_floor=0.1)
    other = found(hf_grounded_sam_params, box_floor=0.1, dino={"weights": str(tiny_mm_dino)})
    assert all(other) and boxes(other) != boxes(one)
    assert {entity.phrase for entity in other[1]} <= {"road", "tree"}


def test_weights_of_another_model_are_refused(hf_grounded_sam_params: dict[str, Any], tmp_path: Path) -> None:
    dino, sam = hf_grounded_sam_params["dino"], hf_grounded_sam_params["sam"]
    line = refused(NAME, {"dino": sam, "sam": sam}, DataError)
    assert line.startswith("Grounding DINO (transformers): ") and sam["weights"] in line
    assert "of type sam, not grounding-dino, mm-grounding-dino; " in line
    line = refused(NAME, {"dino": dino, "sam": dino}, DataError)
    assert line.startswith("SAM (transformers): ") and "of type grounding-dino, not sam, " in line
    line = refused(NAME, {"dino": {"weights": str(tmp_path)}, "sam": sam}, BackendUnavailable)
    assert "has no config.json" in line
