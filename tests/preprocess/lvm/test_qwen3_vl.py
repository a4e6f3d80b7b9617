"""A tiny Qwen3-VL that answers: a car on the road where it sees blue, a person and a tree where red."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers", reason="needs the [lvm] extra: make setup-lvm")

import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from lass3d_core.errors import CorruptArtifact, DataError, Lass3dError
from lass3d_core.manifest.schema import LvmSpec
from lass3d_core.records import GroundedPhrase, ImageCaption
from preprocess.lvm import load_captioner
from preprocess.lvm.params import Qwen3VlParams, RunParams
from preprocess.lvm.qwen3_vl import QUESTIONS, Qwen3VlCaptioner, read_boxes

BLUE, RED = (0, 0, 255), (255, 0, 0)
CAR = ("a car", (20.0, 20.0, 100.0, 70.0))  # places 100, 200, 500, 700 of 1000, in pixels of 200 x 100
ROAD = ("the road", (0.0, 50.0, 199.8, 100.0))


def plain(colour: tuple[int, int, int], height: int = 100, width: int = 200) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def grounded(phrases: tuple[GroundedPhrase, ...]) -> list[tuple[str, tuple[float, ...]]]:
    return [(item.phrase, item.box_xyxy) for item in phrases]


@pytest.fixture(scope="module")
def params(qwen3_vl_folder: Path) -> Qwen3VlParams:
    run = RunParams(device="cpu", batch=3)
    return Qwen3VlParams(str(qwen3_vl_folder), prompt="brief", max_new_tokens=40, max_box_tokens=120, run=run)


@pytest.fixture(scope="module")
def captioner(params: Qwen3VlParams) -> Qwen3VlCaptioner:
    return Qwen3VlCaptioner(params)


def test_a_caption_is_grounded_in_a_second_call(captioner: Qwen3VlCaptioner) -> None:
    blue, red = captioner.caption([plain(BLUE), plain(RED)])
    assert blue.text == "a car on the road."
    assert grounded(blue.phrases) == [CAR, ROAD]
    said, shown = blue.raw.splitlines()
    assert said == "a car on the road." and shown.startswith('[{"bbox_2d": [100, 200, 500, 700]')
    assert red.text == "a person and a tree."
    assert grounded(red.phrases) == [("a person", (0.0, 0.0, 20.0, 20.0))]


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_many_images_at_once_give_what_each_gives_alone(params: Qwen3VlParams, batch: int) -> None:
    rng = np.random.default_rng(0)
    sizes = [(40, 60), (90, 30)]
    noise = [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    images = [plain(BLUE), plain(RED, 60, 300), *noise, plain(RED)]
    captioner = Qwen3VlCaptioner(replace(params, run=RunParams("cpu", batch), max_box_tokens=60))
    alone = [captioner.caption([image])[0] for image in images]
    assert captioner.caption(images) == alone
    assert captioner.caption(images[::-1]) == alone[::-1]
    assert len({caption.raw for caption in alone}) > 2


def test_first_tokens_have_the_same_logits_behind_padding(captioner: Qwen3VlCaptioner) -> None:
    images = [Image.new("RGB", size, "blue") for size in ((16, 16), (60, 16), (32, 32))]
    turn = captioner._turn(QUESTIONS["brief"])

    def last_logits(some: list[Any]) -> torch.Tensor:
        batch = captioner._processor(text=[turn] * len(some), images=some, return_tensors="pt", padding=True)
        with torch.inference_mode():
            return captioner._model(**batch).logits[:, -1]

    together = last_logits(images)
    for row, image in zip(together, images):
        assert torch.allclose(row, last_logits([image])[0], atol=1e-4)


def test_decoding_is_greedy_whatever_the_checkpoint_says(params: Qwen3VlParams) -> None:
    captioner = Qwen3VlCaptioner(replace(params, max_box_tokens=10))
    assert captioner._model.generation_config.do_sample, "as in the published checkpoints"
    image = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    assert len({captioner.caption([image])[0].raw for _ in range(3)}) == 1


def test_a_cut_caption_keeps_whole_words_and_a_cut_list_its_whole_entries(params: Qwen3VlParams) -> None:
    (caption,) = Qwen3VlCaptioner(replace(params, max_new_tokens=4)).caption([plain(BLUE)])
    assert "a car on the road".startswith(caption.text) and caption.text
    whole = Qwen3VlCaptioner(params).caption([plain(BLUE)])[0]
    tokens = len(Qwen3VlCaptioner(params)._processor.tokenizer(whole.raw.splitlines()[1])["input_ids"])
    (cut,) = Qwen3VlCaptioner(replace(params, max_box_tokens=tokens - 3)).caption([plain(BLUE)])
    assert cut.text == whole.text and grounded(cut.phrases) == [CAR]


CAR_ENTRY = '{"bbox_2d": [100, 200, 500, 700], "label": "a car"}'
ROAD_ENTRY = '{"bbox_2d": [0, 500, 999, 1000], "label": "the road"}'


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (f"[{CAR_ENTRY}, {ROAD_ENTRY}]", [CAR, ROAD]),
        (f"```json\n[\n\t{CAR_ENTRY},\n\t{ROAD_ENTRY}\n]\n```", [CAR, ROAD]),
        (f'{{"objects": [{CAR_ENTRY}, {{"parts": [{ROAD_ENTRY}]}}]}}', [CAR, ROAD]),
        (f"The boxes are {CAR_ENTRY} and {ROAD_ENTRY}.", [CAR, ROAD]),
        (f'[{CAR_ENTRY}, {{"bbox_2d": [0, 500, 9', [CAR]),  # cut off
        (f'{{"objects": [{CAR_ENTRY}, {{"bbox_2d": [0, 500', [CAR]),
        (f'[{{"bbox_2d": [1, 2, "label": "a tree"}}, {CAR_ENTRY}]', [CAR]),  # broken
        (f"[{CAR_ENTRY}, {CAR_ENTRY}, {CAR_ENTRY}]", [CAR]),  # a loop
        ('[{"label": "a car", "bbox_2d": [500, 700, 100, 200]}]', [CAR]),
        (
            '[{"bbox_2d": [-50, 250.5, 4000, 1e3], "label": " two\\n cars "}]',
            [("two cars", (0, 25.05, 200, 100))],
        ),
        ('[{"bbox_2d": [1000, 0, 1200, 9], "label": "outside"}]', []),
        ('[{"bbox_2d": [10, 20, 10, 30], "label": "flat"}]', []),
        ('[{"bbox_2d": [1, 2, 3], "label": "a"}, {"bbox_2d": [[1, 2, 3, 4]], "label": "b"}]', []),
        ('[{"bbox_2d": [1, 2, NaN, 4], "label": "a"}, {"bbox_2d": [true, 0, 9, 9], "label": "b"}]', []),
        ('[{"bbox_2d": ["1", "2", "3", "4"], "label": "a"}, {"bbox_2d": null, "label": "b"}]', []),
        ('[{"bbox_2d": [1, 2, 3, 4]}, {"bbox_2d": [1, 2, 3, 4], "label": " "}, {"label": "a car"}]', []),
        ('[{"bbox_2d": [1, 2, 3, 4], "label": 7}]', []),
        ("There is nothing to locate.", []),
        ("{" * 3000, []),
        ("", []),
    ],
)
def test_what_is_whole_in_an_answer_is_kept(answer: str, expected: list[Any]) -> None:
    assert grounded(read_boxes(answer, (100, 200))) == expected


def test_a_list_without_a_box_leaves_the_caption(
    captioner: Qwen3VlCaptioner, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = captioner._answers

    def answers(images: Any, questions: list[str], most: int) -> Any:
        return whole(images, questions, most) if questions[0] in QUESTIONS.values() else [("[{no", False)]

    monkeypatch.setattr(captioner, "_answers", answers)
    (caption,) = captioner.caption([plain(BLUE)])
    assert caption == ImageCaption("a car on the road.", (), "a car on the road.\n[{no")


def refused(folder: Path, kind: type[Lass3dError]) -> str:
    with pytest.raises(kind) as caught:
        load_captioner(LvmSpec("qwen3_vl", {"weights": str(folder), "run": {"device": "cpu"}}))
    (line,) = str(caught.value).splitlines()
    assert line.startswith("qwen3_vl: ") and str(folder) in line
    return line


def test_wrong_files_are_one_line(qwen3_vl_folder: Path, kosmos2_folder: Path, tmp_path: Path) -> None:
    assert "holds a model of type kosmos-2, not qwen3_vl" in refused(kosmos2_folder, DataError)
    folder = Path(shutil.copytree(qwen3_vl_folder, tmp_path / "copy"))
    weights = folder / "model.safetensors"
    state = load_file(weights)
    del state["model.visual.merger.norm.weight"]
    save_file(state, weights, metadata={"format": "pt"})
    assert "lacks 1 parameters, such as model.visual.merger.norm.weight" in refused(folder, DataError)
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert f"{weights} is cut off or damaged" in refused(folder, CorruptArtifact)
    (folder / "config.json").write_text("{")
    assert f"{folder / 'config.json'} is cut off or damaged" in refused(folder, CorruptArtifact)
    shutil.copy(qwen3_vl_folder / "config.json", folder)
    shutil.copy(qwen3_vl_folder / "model.safetensors", folder)
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        (folder / name).unlink()
    refused(folder, Lass3dError)  # transformers 5 would make a tokenizer without words
