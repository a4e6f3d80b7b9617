"""The contract of every registered model, and its parameters."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from typing import Any, get_args

import numpy as np
import pytest

from lass3d_core.errors import BackendUnavailable, UnknownName
from lass3d_core.files.masks import decode
from lass3d_core.manifest.schema import LvmSpec, LvmStage
from preprocess.lvm import (
    ADAPTERS,
    AUTHORS,
    check_lvm,
    extra_of,
    identity_of,
    load_captioner,
    load_detector,
    load_encoder,
    params_of,
)

STAGES: tuple[LvmStage, ...] = get_args(LvmStage)
REGISTERED = [(stage, name) for stage in STAGES for name in ADAPTERS[stage]]
NEEDED: dict[str, dict[str, Any]] = {"segmenter": {"weights": "a.onnx", "labels": "cityscapes"}}
"""Model -> the parameters that have no default."""


def spec_of(name: str, **params: Any) -> LvmSpec:
    return LvmSpec(name, NEEDED.get(name, {}) | params)


WITH_WEIGHTS = [
    (stage, name) for stage, name in REGISTERED if hasattr(params_of(stage, spec_of(name)), "run")
]
LOAD = {"image_captions": load_captioner, "entities": load_detector, "text_embeddings": load_encoder}
IMAGE = np.full((40, 60, 3), (84, 84, 87), np.uint8)  # the grey of a road


@pytest.mark.parametrize(("stage", "name"), REGISTERED)
def test_parameters_survive_a_round_trip_through_json(stage: LvmStage, name: str) -> None:
    default = params_of(stage, spec_of(name))
    values = json.loads(json.dumps(dataclasses.asdict(default)))
    assert params_of(stage, LvmSpec(name, values)) == default


@pytest.mark.parametrize(("stage", "name"), REGISTERED)
def test_an_unknown_parameter_is_refused_by_its_path(stage: LvmStage, name: str) -> None:
    problems: list[str] = []
    check_lvm(stage, spec_of(name, sead=1), stage, problems)
    (problem,) = problems
    assert problem.startswith(f"{stage}.params.sead: ")
    with pytest.raises(UnknownName, match=rf"{stage}\.params\.sead"):
        LOAD[stage](spec_of(name, sead=1))


@pytest.mark.parametrize(("stage", "name"), WITH_WEIGHTS)
def test_where_a_model_runs_is_no_part_of_its_identity(stage: LvmStage, name: str) -> None:
    there = LvmSpec(name, {"run": {"device": "cuda:1", "batch": 3}})
    assert (params_of(stage, there).run.device, params_of(stage, there).run.batch) == ("cuda:1", 3)
    assert identity_of(stage, there) == identity_of(stage, LvmSpec(name))
    assert identity_of(stage, LvmSpec(name, {"dtype": "bfloat16"})) != identity_of(stage, LvmSpec(name))


@pytest.mark.filterwarnings("ignore:Importing from timm.models.layers is deprecated:FutureWarning")
@pytest.mark.parametrize(("stage", "name"), WITH_WEIGHTS)
def test_missing_packages_or_weights_are_one_line_with_the_fix(stage: LvmStage, name: str) -> None:
    fields = {field.name for field in dataclasses.fields(ADAPTERS[stage][name][0])}
    parts = fields & {"dino", "owl", "text_encoder", "sam"}
    absent: dict[str, Any] = {"weights": "/no/where"}
    with pytest.raises(BackendUnavailable) as caught:
        LOAD[stage](LvmSpec(name, dict.fromkeys(parts, absent) if parts else absent))
    line = str(caught.value)
    assert "\n" not in line
    module = "groundingdino" if name in AUTHORS else "transformers"
    installed = importlib.util.find_spec(module) is not None
    too_old = "needs transformers 5" in line
    assert "/no/where" in line or too_old or not installed
    assert f"run `make setup-{extra_of([name])}`" in line or installed


def test_one_environment_serves_all_models_of_a_manifest() -> None:
    assert extra_of(["kosmos2", "hf_grounded_sam", "open_clip"]) == "lvm"
    assert extra_of(["kosmos2", "grounded_sam", "open_clip"]) == "lvm-paper"


@pytest.mark.parametrize("stage", STAGES)
def test_an_unknown_name_is_refused_with_the_nearest(stage: LvmStage) -> None:
    known = next(iter(ADAPTERS[stage]))
    with pytest.raises(UnknownName, match=rf"{stage}.name: there is no model .* did you mean '{known}'"):
        LOAD[stage](LvmSpec(known[:-1]))
    problems: list[str] = []
    check_lvm(stage, LvmSpec(known[:-1]), stage, problems)
    assert problems[0].startswith(f"{stage}.name: ")


def test_wrong_values_are_reported_by_their_paths() -> None:
    problems: list[str] = []
    params = {"prompt": "long", "tiles": {"overlap": 0.9}, "run": {"batch": 0, "gpu": 1}}
    check_lvm("image_captions", LvmSpec("kosmos2", params), "image_captions", problems)
    paths = {problem.split(": ")[0] for problem in problems}
    assert {"image_captions.params.prompt", "image_captions.params.run.gpu"} <= paths
    assert any(path.startswith("image_captions.params.tiles") for path in paths)


def test_every_captioner_without_weights_answers() -> None:
    (caption,) = load_captioner(LvmSpec("palette")).caption([IMAGE])
    assert caption.text and caption.phrases
    x1, y1, x2, y2 = caption.phrases[0].box_xyxy
    assert 0 <= x1 < x2 <= 60 and 0 <= y1 < y2 <= 40


def test_every_detector_without_weights_answers_from_the_vocabulary() -> None:
    ((entity,), nothing) = load_detector(LvmSpec("palette")).detect([IMAGE, IMAGE], [["road"], []])
    assert entity.phrase == "road" and decode(entity.mask).all() and nothing == []


def test_every_encoder_without_weights_answers() -> None:
    encoded = load_encoder(LvmSpec("hashing")).encode(["a road", ""])
    assert len(encoded.pooled) == 2 and encoded.offsets[-1] == len(encoded.rows)
