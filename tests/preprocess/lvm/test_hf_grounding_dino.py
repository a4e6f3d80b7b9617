from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lass3d_core.errors import DataError

pytest.importorskip("transformers", reason="needs the [lvm] extra: make setup-lvm")
pytestmark = [
    pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning"),
    pytest.mark.filterwarnings("ignore:The `device` argument is deprecated:FutureWarning"),
]

IMAGES = list(np.random.default_rng(0).integers(0, 255, (2, 60, 150, 3), dtype=np.uint8))


def load(folder: Path) -> Any:
    import torch

    from preprocess.lvm.hf_grounding_dino import HfGroundingDino

    return HfGroundingDino(folder, torch.device("cpu"), torch.float32)


@pytest.mark.parametrize(
    ("fixture", "kind"),
    [
        ("tiny_hf_dino", "GroundingDinoForObjectDetection"),
        ("tiny_mm_dino", "MMGroundingDinoForObjectDetection"),
    ],
)
def test_a_batch_of_different_prompts_is_answered_as_each_alone(
    fixture: str, kind: str, request: pytest.FixtureRequest
) -> None:
    import torch

    finder = load(request.getfixturevalue(fixture))
    assert type(finder._model).__name__ == kind
    prompts = ["car . traffic sign .", "a tree . house . person . road ."]
    with torch.inference_mode():
        together = finder.ask(IMAGES, prompts)
        alone = [finder.ask([image], [prompt])[0] for image, prompt in zip(IMAGES, prompts)]
    for (logits, boxes), (own_logits, own_boxes) in zip(together, alone):
        assert logits.shape == (60, 256) and np.ptp(boxes) > 0
        np.testing.assert_allclose(boxes, own_boxes, atol=1e-4)
        np.testing.assert_allclose(np.tanh(logits), np.tanh(own_logits), atol=1e-3)


def test_a_tokenizer_with_other_numbers_is_refused(tiny_hf_dino: Path, tmp_path: Path) -> None:
    from transformers import BertTokenizerFast

    folder = tmp_path / "other"
    shutil.copytree(tiny_hf_dino, folder)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "a"]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens))
    BertTokenizerFast.from_pretrained(tmp_path).save_pretrained(folder)
    with pytest.raises(DataError) as error:
        load(folder)
    (line,) = str(error.value).splitlines()
    assert str(folder) in line and "'.': 5" in line and "bert-base-uncased" in line
