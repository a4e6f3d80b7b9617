from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lass3d_core.errors import BackendUnavailable, DataError
from lass3d_core.manifest.schema import EntitiesSpec
from preprocess.lvm import load_detector, params_of
from tests.preprocess.lvm.refusing import refused, without

pytest.importorskip("transformers", reason="needs the [lvm] extra: make setup-lvm")

NAME = "owlv2_sam"
RNG = np.random.default_rng(0)
WIDE, TALL = (RNG.integers(0, 255, (*size, 3), dtype=np.uint8) for size in ((60, 150), (150, 60)))


def load(folder: Path, **named: Any) -> Any:
    import torch

    from preprocess.lvm.device import pick_dtype
    from preprocess.lvm.owlv2_sam import Owlv2

    params, device = params_of("entities", EntitiesSpec(NAME, named)), torch.device("cpu")
    return Owlv2(folder, device, pick_dtype(params.dtype, device), params)


@pytest.mark.parametrize("image", [WIDE, TALL])
def test_boxes_and_scores_equal_those_of_the_librarys_own_call(image: np.ndarray, tiny_owlv2: Path) -> None:
    import torch
    from PIL import Image

    words = ["car", "road", "a tree", "sky"]
    finder = load(tiny_owlv2, box_floor=0.3, max_iou=1.0)
    inputs = finder._processor(text=[words], images=Image.fromarray(image), return_tensors="pt")
    with torch.inference_mode():
        answer = finder._model(**inputs)
    (wanted,) = finder._processor.post_process_grounded_object_detection(
        answer, threshold=0.3, target_sizes=[image.shape[:2]], text_labels=[words]
    )
    height, width = image.shape[:2]
    inside = wanted["boxes"].numpy().clip(0, [width, height, width, height])
    named = zip(wanted["text_labels"], wanted["scores"].tolist(), inside.tolist())
    kept = [row for row in named if row[2][2] > row[2][0] and row[2][3] > row[2][1]]
    assert len(kept) > 1
    (found,) = finder([image], [words])
    best_first = sorted(kept, key=lambda row: -row[1])
    assert list(found.phrases) == [phrase for phrase, _, _ in best_first]
    np.testing.assert_allclose(found.scores, [score for _, score, _ in best_first], atol=1e-5)
    np.testing.assert_allclose(found.xyxy, [box for _, _, box in best_first], atol=1e-3)


def test_images_are_encoded_once_whatever_their_sizes_and_vocabularies(tiny_owlv2: Path) -> None:
    finder, batches = load(tiny_owlv2, run={"batch": 2}), []
    finder._model.owlv2.vision_model.register_forward_hook(
        lambda _, inputs, answer: batches.append(len(answer[0]))
    )
    many = [f"{first}{second}" for first in "abcde" for second in "abcdef"]
    found = finder([WIDE, WIDE, TALL, TALL], [many, [], ["car"], many])
    assert batches == [2, 1]
    assert [len(boxes) > 0 for boxes in found] == [True, False, True, True]


def test_bfloat16_does_not_round_boxes(tiny_owlv2: Path) -> None:
    import torch

    (found,) = load(tiny_owlv2, box_floor=0.0, dtype="bfloat16")([WIDE], [["car"]])
    whole = found.xyxy[(found.xyxy[:, 0] > 0) & (found.xyxy[:, 2] < 150)]
    centres = torch.from_numpy(whole[:, 0] + whole[:, 2]) / 300
    assert len(whole) > 5 and (centres.bfloat16() - centres).abs().max() > 1e-4


def test_a_phrase_that_is_longer_than_the_window_is_named(tiny_owlv2: Path) -> None:
    finder = load(tiny_owlv2)
    finder([WIDE], [["a" * 14]])
    with pytest.raises(DataError, match=r"the phrase 'aaaaaaaaaaaaaaa'\.\.\. has 15 tokens, .* window of 16"):
        finder([WIDE], [["car", "a" * 15]])


def test_equal_phrases_are_asked_once_and_empty_ones_never(tiny_owlv2: Path) -> None:
    finder, asked = load(tiny_owlv2), []
    finder._model.owlv2.text_model.register_forward_hook(
        lambda _, inputs, answer: asked.append(len(answer[0]))
    )
    (found,) = finder([WIDE], [["car", " ", "road", "car"]])
    assert asked == [2] and set(found.phrases) <= {"car", "road"}
    assert [len(boxes) for boxes in finder([WIDE], [[" "]])] == [0]
    assert finder([], []) == [] and asked == [2]


def test_the_floor_and_the_overlap_are_honoured(owlv2_sam_params: dict[str, Any]) -> None:
    def scores(**params: Any) -> list[float]:
        detector = load_detector(EntitiesSpec(NAME, {**owlv2_sam_params, **params}))
        return [entity.score for entity in detector.detect([WIDE], [["car", "road"]])[0]]

    everything, best = scores(box_floor=0.0, max_iou=1.0), scores(box_floor=0.5, max_iou=1.0)
    assert best == [score for score in everything if score >= 0.5] and 0 < len(best) < len(everything)
    assert 0 < len(scores(box_floor=0.0, max_iou=0.05)) < len(everything)


def test_weights_of_another_model_and_incomplete_ones_are_refused(
    owlv2_sam_params: dict[str, Any], tiny_owlv2: Path, tmp_path: Path
) -> None:
    owl, sam = owlv2_sam_params["owl"], owlv2_sam_params["sam"]
    line = refused(NAME, {"owl": sam, "sam": sam}, DataError)
    assert line.startswith(f"OWLv2: {sam['weights']} holds a model of type sam, not owlv2; ")
    line = refused(NAME, {"owl": owl, "sam": owl}, DataError)
    assert line.startswith("SAM (transformers): ") and "of type owlv2, not sam, " in line
    line = refused(NAME, {"owl": {"weights": str(tmp_path)}, "sam": sam}, BackendUnavailable)
    assert "has no config.json" in line
    lacking = without(tiny_owlv2, "class_head.dense0.weight", tmp_path / "lacking")
    line = refused(NAME, {"owl": {"weights": str(lacking)}, "sam": sam}, DataError)
    assert "lacks 1 parameters, such as class_head.dense0.weight" in line
