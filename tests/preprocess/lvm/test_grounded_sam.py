from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.errors import BackendUnavailable, CorruptArtifact, DataError, Lass3dError
from lass3d_core.manifest.schema import EntitiesSpec
from preprocess.lvm import load_detector, params_of
from preprocess.lvm.phrase_scores import prompts_of

pytest.importorskip("groundingdino", reason="needs the [lvm-paper] extra: make setup-lvm-paper")
pytestmark = [
    pytest.mark.filterwarnings("ignore:Importing from timm.models.layers:FutureWarning"),
    pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning"),
    pytest.mark.filterwarnings("ignore:The `device` argument is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`torch.cuda.amp.autocast:FutureWarning"),
]

IMAGES = list(np.random.default_rng(0).integers(0, 255, (2, 60, 150, 3), dtype=np.uint8))
PROMPTS = ["car . traffic sign .", "a tree . house . person . road ."]


@pytest.fixture
def spec(grounded_sam_params: dict[str, Any]) -> Callable[..., EntitiesSpec]:
    """The manifest's entry, with the given parameters beside those of the weights."""

    def made(**params: Any) -> EntitiesSpec:
        return EntitiesSpec(name="grounded_sam", params={**grounded_sam_params, **params})

    return made


@pytest.fixture
def finder(spec: Callable[..., EntitiesSpec]) -> Any:
    import torch

    from preprocess.lvm.grounded_sam import GroundingDino, load_dino

    params = params_of("entities", spec())
    return GroundingDino(load_dino(params), params.dino, torch.float32)


@pytest.fixture
def masker(spec: Callable[..., EntitiesSpec]) -> Any:
    import torch

    from preprocess.lvm.grounded_sam import SegmentAnything, load_sam

    return SegmentAnything(load_sam(params_of("entities", spec()).sam), torch.float32)


def asked(finder: Any, images: list[np.ndarray], prompts: list[str]) -> list[Any]:
    import torch

    with torch.inference_mode():
        return finder.ask(images, prompts)


def worst_difference(found: list[Any], wanted: list[Any]) -> float:
    """Of box coordinates and token probabilities."""
    pairs = [(ours, theirs) for one, other in zip(found, wanted) for ours, theirs in zip(one, other)]
    return max(float(np.abs(np.tanh(ours) - np.tanh(theirs)).max()) for ours, theirs in pairs)


def test_a_batch_of_different_prompts_is_answered_as_each_alone(finder: Any) -> None:
    alone = [asked(finder, [image], [prompt])[0] for image, prompt in zip(IMAGES, PROMPTS)]
    assert worst_difference(asked(finder, IMAGES, PROMPTS), alone) < 1e-3


def test_the_package_alone_would_mix_up_the_prompts_of_a_batch(finder: Any) -> None:
    for layer in finder.model.transformer.encoder.text_layers:
        layer._forward_pre_hooks.clear()
    alone = [asked(finder, [image], [prompt])[0] for image, prompt in zip(IMAGES, PROMPTS)]
    assert worst_difference(asked(finder, IMAGES, PROMPTS), alone) > 0.05, "else the repair can go"


@settings(max_examples=50, deadline=None)
@given(vocabulary=st.lists(st.text(alphabet="abcdxyz019 -',.?éß中", max_size=12), max_size=8))
def test_the_spans_of_a_prompt_hold_the_tokens_of_its_phrases(tiny_bert: Path, vocabulary: list[str]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)

    def tokens(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    for prompt in prompts_of(vocabulary, lambda text: len(tokens(text)), 40):
        read = tokenizer(prompt.text)["input_ids"]
        assert len(read) <= 40
        for phrase, (first, behind) in zip(prompt.phrases, prompt.spans):
            assert read[first:behind] == tokens(phrase.lower().replace(".", " ").replace("?", " "))
            assert read[behind] == tokenizer.convert_tokens_to_ids(".")


def test_a_score_is_the_probability_of_the_best_token_of_the_phrase(
    finder: Any, spec: Callable[..., EntitiesSpec]
) -> None:
    ((logits, _),) = asked(finder, IMAGES[:1], ["car . traffic sign ."])
    of_car, of_sign = logits[:, 1], logits[:, 3:5].max(axis=1)
    expected = {
        "car": 1 / (1 + np.exp(-of_car[of_car >= of_sign])),
        "traffic sign": 1 / (1 + np.exp(-of_sign[of_sign > of_car])),
    }
    detector = load_detector(spec(box_floor=0.0, max_iou=1.0))
    (found,) = detector.detect(IMAGES[:1], [("car", "traffic sign")])
    for phrase, scores in expected.items():
        given = [entity.score for entity in found if entity.phrase == phrase]
        assert given, "the random weights find both"
        assert all(np.abs(scores - score).min() < 1e-5 for score in given)


@pytest.mark.parametrize(
    ("size_hw", "scaled_hw"),
    [((376, 1241), (404, 1333)), ((480, 640), (800, 1066)), ((640, 480), (1066, 800))],
)
def test_images_reach_the_model_at_the_size_of_its_training(
    finder: Any, size_hw: tuple[int, int], scaled_hw: tuple[int, int]
) -> None:
    import torch

    from preprocess.lvm.grounded_sam import GroundingDino
    from preprocess.lvm.params import GroundingDinoParams

    class Seen(Exception):
        pass

    def stop(model: Any, inputs: tuple[Any, ...]) -> None:
        raise Seen(tuple(inputs[0].shape), float(inputs[0].mean()))

    finder.model.register_forward_pre_hook(stop)
    full_size = GroundingDino(finder.model, GroundingDinoParams(), torch.float32)
    with pytest.raises(Seen) as seen:
        full_size.ask([np.zeros((*size_hw, 3), np.uint8)], ["car ."])
    shape, mean = seen.value.args
    assert shape == (1, 3, *scaled_hw)
    assert mean == pytest.approx(-np.mean([0.485 / 0.229, 0.456 / 0.224, 0.406 / 0.225]), rel=1e-5)


def test_an_image_is_encoded_once_for_any_number_of_boxes(masker: Any) -> None:
    encoded: list[int] = []
    masker._predictor.model.image_encoder.register_forward_hook(lambda *_: encoded.append(1))
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 40, (70, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 20, (70, 2))], axis=1).astype(np.float32)
    masks = masker.masks(IMAGES[0], boxes)
    assert len(masks) == 70 and len(encoded) == 1
    assert {(mask.shape, mask.dtype) for mask in masks} == {((60, 150), np.dtype(bool))}
    for chosen in (0, 40, 69):
        (alone,) = masker.masks(IMAGES[0], boxes[chosen : chosen + 1])
        assert (alone != masks[chosen]).mean() < 0.01


def refused(spec: EntitiesSpec, kind: type[Lass3dError]) -> str:
    with pytest.raises(kind) as error:
        load_detector(spec)
    (line,) = str(error.value).splitlines()
    return line


def test_absent_weights_are_named(spec: Callable[..., EntitiesSpec], grounded_sam_params: Any) -> None:
    for part in ("dino", "sam"):
        there = grounded_sam_params[part]
        line = refused(spec(**{part: {**there, "weights": "/nowhere/none.pth"}}), BackendUnavailable)
        assert "/nowhere/none.pth" in line
        assert line.startswith("Grounding DINO: " if part == "dino" else "Segment Anything: ")
    line = refused(spec(text_encoder={"weights": "/nowhere/bert"}), BackendUnavailable)
    assert line.startswith("Grounding DINO: ") and "/nowhere/bert" in line
    line = refused(spec(dino={**grounded_sam_params["dino"], "config": "SwinX"}), BackendUnavailable)
    assert line == (
        "Grounding DINO: there is no configuration SwinX; set dino.config to SwinT, SwinB or a file"
    )


@pytest.mark.parametrize("part", ["dino", "sam"])
def test_a_truncated_checkpoint_is_named(
    part: str, spec: Callable[..., EntitiesSpec], grounded_sam_params: Any, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.pth"
    cut.write_bytes(Path(grounded_sam_params[part]["weights"]).read_bytes()[:100_000])
    line = refused(spec(**{part: {**grounded_sam_params[part], "weights": str(cut)}}), CorruptArtifact)
    assert str(cut) in line and line.endswith("download it again")


def test_a_checkpoint_of_another_model_is_refused(
    spec: Callable[..., EntitiesSpec], grounded_sam_params: Any
) -> None:
    dino, sam = grounded_sam_params["dino"], grounded_sam_params["sam"]
    line = refused(spec(dino={**dino, "weights": sam["weights"]}), DataError)
    assert line.startswith("Grounding DINO: ") and sam["weights"] in line
    assert "another architecture" in line and "name the weights that belong to this model" in line
    line = refused(spec(sam={**sam, "weights": dino["weights"]}), DataError)
    assert line.startswith("Segment Anything: ") and dino["weights"] in line


def test_a_parameter_that_the_checkpoint_lacks_is_named(
    spec: Callable[..., EntitiesSpec], grounded_sam_params: Any, tmp_path: Path
) -> None:
    import torch

    state = torch.load(grounded_sam_params["dino"]["weights"])
    del state["model"]["module.feat_map.weight"]
    torch.save(state, tmp_path / "lacking.pth")
    path = str(tmp_path / "lacking.pth")
    line = refused(spec(dino={**grounded_sam_params["dino"], "weights": path}), DataError)
    assert "lacks 1 parameters, such as feat_map.weight" in line


def test_what_old_checkpoints_hold_beyond_the_model_is_no_fault(
    spec: Callable[..., EntitiesSpec], grounded_sam_params: Any, tmp_path: Path
) -> None:
    import torch

    state = torch.load(grounded_sam_params["dino"]["weights"])
    assert "module.label_enc.weight" in state["model"], "as in the published ones"
    state["model"]["module.bert.embeddings.position_ids"] = torch.arange(512)[None]
    torch.save(state, tmp_path / "old.pth")
    load_detector(spec(dino={**grounded_sam_params["dino"], "weights": str(tmp_path / "old.pth")}))
